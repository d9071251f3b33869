//! The length of a file, and space reserved for it.

use super::{all, case_list, created, new_file};
use crate::{Storage, StorageFileExt};

case_list! {
    allocated_space_extends_the_file_with_zeros,
    allocation_keeps_what_is_there,
    allocation_inside_the_file_changes_nothing,
    allocation_of_nothing_does_nothing,
    allocated_space_can_be_written,
    a_cut_file_is_shorter,
    an_extended_file_has_zeros,
    what_was_cut_off_does_not_come_back,
}

fn allocated_space_extends_the_file_with_zeros(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"");
    file.allocate(0, 300_000).expect("allocate");
    assert_eq!(all(&*file), vec![0; 300_000]);
}

fn allocation_keeps_what_is_there(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"hello");
    file.allocate(2, 100).expect("allocate");
    let content = all(&*file);
    assert_eq!(content.len(), 102);
    assert_eq!(&content[..5], b"hello");
    assert!(content[5..].iter().all(|byte| *byte == 0));
}

fn allocation_inside_the_file_changes_nothing(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", &[7; 5000]);
    file.allocate(100, 1000).expect("allocate");
    assert_eq!(all(&*file), [7; 5000]);
}

fn allocation_of_nothing_does_nothing(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"hello");
    file.allocate(0, 0).expect("allocate");
    file.allocate(1000, 0).expect("allocate");
    assert_eq!(all(&*file), b"hello");
}

fn allocated_space_can_be_written(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"");
    file.allocate(0, 8192).expect("allocate");
    file.write_all_at(b"hello", 4000).expect("write");
    file.sync_data().expect("sync_data");
    let content = all(&*file);
    assert_eq!(
        content.len(),
        8192,
        "a write inside the space does not change the length"
    );
    assert_eq!(&content[4000..4005], b"hello");
    assert!(
        content[..4000]
            .iter()
            .chain(&content[4005..])
            .all(|byte| *byte == 0)
    );
}

fn a_cut_file_is_shorter(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"hello");
    file.set_len(2).expect("set_len");
    assert_eq!(all(&*file), b"he");
    file.set_len(2).expect("set_len to the same");
    file.set_len(0).expect("set_len");
    assert_eq!(all(&*file), b"");
}

fn an_extended_file_has_zeros(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"hello");
    file.set_len(70_000).expect("set_len");
    let content = all(&*file);
    assert_eq!(content.len(), 70_000);
    assert_eq!(&content[..5], b"hello");
    assert!(content[5..].iter().all(|byte| *byte == 0));
}

fn what_was_cut_off_does_not_come_back(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", &vec![7; 100_000]);
    file.sync_data().expect("sync_data");
    file.set_len(10).expect("set_len");
    file.set_len(2000).expect("set_len");
    file.write_all_at(b"end", 99_000).expect("write");
    file.allocate(99_000, 1000).expect("allocate");
    let content = all(&*file);
    assert_eq!(content.len(), 100_000);
    assert_eq!(&content[..10], [7; 10]);
    assert!(content[10..99_000].iter().all(|byte| *byte == 0));
    assert_eq!(&content[99_000..99_003], b"end");
    assert!(content[99_003..].iter().all(|byte| *byte == 0));
}
