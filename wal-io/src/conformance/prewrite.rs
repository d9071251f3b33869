//! Space overwritten ahead of the writes into it. A backend may not be able to; nothing is seen of it either way.

use std::io::ErrorKind;

use super::{all, case_list, content, created, error_kind, new_file};
use crate::{OpenMode, Storage, StorageFile, StorageFileExt};

case_list! {
    prewritten_space_holds_zeros,
    a_prewrite_keeps_what_is_next_to_it,
    a_prewrite_of_nothing_does_nothing,
    a_prewrite_takes_multiples_of_4096,
    a_prewrite_ends_at_a_possible_length,
    a_prewrite_follows_a_rename,
    a_prewrite_follows_the_length,
    a_read_handle_does_not_prewrite,
    prewrites_and_writes_take_turns,
    writes_go_on_beside_a_prewrite,
}

const K: u64 = 1024;

/// Whether it was done; the same for every range of a file.
fn prewrite(file: &dyn StorageFile, offset: u64, len: u64) -> bool {
    file.prewrite(offset, len).expect("prewrite")
}

fn prewritten_space_holds_zeros(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"");
    file.allocate(0, 1024 * K).expect("allocate");
    let done = prewrite(&*file, 0, 4 * K);
    assert_eq!(prewrite(&*file, 4 * K, 1020 * K), done);
    assert_eq!(prewrite(&*file, 4 * K, 4 * K), done, "a second time");
    assert_eq!(all(&*file), vec![0; 1024 * 1024]);
    file.sync_data().expect("sync_data");
    file.evict(0, 0).expect("evict");
    assert_eq!(all(&*file), vec![0; 1024 * 1024]);
}

fn a_prewrite_keeps_what_is_next_to_it(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"");
    file.allocate(0, 64 * K).expect("allocate");
    let mut expected = vec![0; 64 * 1024];
    expected[..8 * 1024].fill(7);
    expected[12 * 1024..12 * 1024 + 100].fill(8);
    file.write_all_at(&expected[..8 * 1024], 0).expect("write");
    file.write_all_at(&[8; 100], 12 * K).expect("write");
    prewrite(&*file, 8 * K, 4 * K);
    prewrite(&*file, 16 * K, 48 * K);
    assert!(all(&*file) == expected);
    file.sync_data().expect("sync_data");
    file.evict(0, 0).expect("evict");
    assert!(all(&*file) == expected);
}

fn a_prewrite_of_nothing_does_nothing(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", &[7; 5000]);
    prewrite(&*file, 0, 0);
    prewrite(&*file, 4 * K, 0);
    assert_eq!(all(&*file), [7; 5000]);
}

fn a_prewrite_takes_multiples_of_4096(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"");
    file.allocate(0, 64 * K).expect("allocate");
    for (offset, len) in [(1, 4096), (512, 4096), (0, 1), (4096, 512), (4095, 4097)] {
        assert_eq!(
            error_kind(file.prewrite(offset, len)),
            ErrorKind::InvalidInput,
            "{len} bytes at {offset}"
        );
    }
    assert_eq!(all(&*file), vec![0; 64 * 1024]);
}

fn a_prewrite_ends_at_a_possible_length(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"");
    let last = u64::MAX - 4095;
    for (offset, len) in [(last, 4096), (4096, last), (1 << 62, 1 << 62)] {
        assert_eq!(
            error_kind(file.prewrite(offset, len)),
            ErrorKind::InvalidInput,
            "{len} bytes at {offset}"
        );
    }
    assert_eq!(file.len().expect("len"), 0);
}

fn a_prewrite_follows_a_rename(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "spare", b"");
    file.allocate(0, 64 * K).expect("allocate");
    dir.rename("spare", "a").expect("rename");
    let other = new_file(dir, "spare", &[9; 8192]);
    let done = prewrite(&*file, 0, 8 * K);
    file.write_all_at(&[7; 4096], 0).expect("write");
    dir.rename("a", "b").expect("rename");
    assert_eq!(prewrite(&*file, 8 * K, 8 * K), done);
    dir.remove("b").expect("remove");
    assert_eq!(prewrite(&*file, 16 * K, 8 * K), done, "of a removed file");
    let mut expected = vec![0; 64 * 1024];
    expected[..4096].fill(7);
    assert!(all(&*file) == expected);
    assert_eq!(all(&*other), [9; 8192]);
    assert_eq!(content(dir, "spare"), [9; 8192]);
}

fn a_prewrite_follows_the_length(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", &vec![7; 40_000]);
    file.set_len(5000).expect("set_len");
    file.allocate(0, 64 * K).expect("allocate");
    prewrite(&*file, 8 * K, 56 * K);
    let mut expected = vec![0; 64 * 1024];
    expected[..5000].fill(7);
    assert!(all(&*file) == expected);
    file.set_len(0).expect("set_len");
    file.set_len(32 * K).expect("set_len");
    file.allocate(0, 32 * K).expect("allocate");
    prewrite(&*file, 0, 32 * K);
    assert_eq!(all(&*file), vec![0; 32 * 1024]);
}

fn a_read_handle_does_not_prewrite(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "a", b"")
        .allocate(0, 8 * K)
        .expect("allocate");
    let file = dir.open("a", OpenMode::Read).expect("open");
    assert!(
        !file.prewrite(0, 8 * K).unwrap_or(false),
        "a handle for reading wrote"
    );
    assert_eq!(all(&*file), vec![0; 8192]);
}

fn prewrites_and_writes_take_turns(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"");
    file.allocate(0, 512 * K).expect("allocate");
    let mut expected = vec![0; 512 * 1024];
    let mut ready = 0;
    let mut at = 0;
    for step in 0..300_u32 {
        let len = (step as usize * 37) % 1700 + 1;
        let end = at + len;
        while ready < end.next_multiple_of(4096) {
            prewrite(&*file, ready as u64, 16 * K);
            ready += 16 * 1024;
        }
        let bytes = vec![(step % 250) as u8 + 1; len];
        file.write_all_at(&bytes, at as u64).expect("write");
        expected[at..end].copy_from_slice(&bytes);
        if step % 3 == 0 {
            file.sync_data().expect("sync_data");
        }
        at = end;
    }
    assert!(all(&*file) == expected);
    file.sync_data().expect("sync_data");
    file.evict(0, 0).expect("evict");
    assert!(all(&*file) == expected);
}

fn writes_go_on_beside_a_prewrite(dir: &dyn Storage) {
    const PIECE: usize = 1111;
    let dir = created(dir);
    let file = new_file(dir, "a", b"");
    file.allocate(0, 512 * K).expect("allocate");
    // Writes come down from the first byte before the ranges that another thread prewrites meanwhile.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for at in (256 * K..512 * K).step_by(16 * 1024) {
                prewrite(&*file, at, 16 * K);
            }
        });
        for at in (0..=256 * 1024 - PIECE).rev().step_by(PIECE) {
            file.write_all_at(&[7; PIECE], at as u64).expect("write");
            if at % 4 == 0 {
                file.sync_data().expect("sync_data");
            }
        }
    });
    let content = all(&*file);
    assert!(content[PIECE..256 * 1024].iter().all(|byte| *byte == 7));
    assert!(content[256 * 1024..].iter().all(|byte| *byte == 0));
}
