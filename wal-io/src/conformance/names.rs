//! Names of files: given, changed, taken away, and what open handles make of it.

use std::io::ErrorKind;

use super::{all, case_list, content, created, error_kind, names, new_file};
use crate::{OpenMode, Storage, StorageFileExt};

case_list! {
    a_new_file_is_empty_and_listed,
    a_new_file_needs_a_new_name,
    a_missing_file_cannot_be_opened,
    a_directory_cannot_be_opened,
    a_rename_moves_the_file,
    a_rename_never_replaces,
    a_rename_to_itself_is_refused,
    a_rename_needs_a_file,
    a_replacement_takes_the_name_and_leaves_no_other,
    a_replacement_needs_a_file_and_another_name,
    a_rename_does_not_replace_a_directory,
    a_handle_follows_its_file_through_a_rename,
    links_count_the_names_of_a_file,
    a_removed_name_is_gone,
    only_files_are_removed,
    a_handle_of_a_removed_file_keeps_it,
    a_removed_name_can_be_used_again,
}

fn a_new_file_is_empty_and_listed(dir: &dyn Storage) {
    let dir = created(dir);
    let file = dir
        .open("a", OpenMode::CreateNew)
        .expect("open with CreateNew");
    assert_eq!(file.len().expect("len"), 0);
    assert_eq!(names(dir), ["a"]);
    dir.sync_dir().expect("sync_dir");
    assert_eq!(names(dir), ["a"]);
}

fn a_new_file_needs_a_new_name(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "a", b"first");
    dir.subdirectory("sub")
        .expect("subdirectory")
        .create()
        .expect("create");
    for name in ["a", "sub"] {
        let kind = error_kind(dir.open(name, OpenMode::CreateNew));
        assert_eq!(kind, ErrorKind::AlreadyExists);
    }
    assert_eq!(content(dir, "a"), b"first");
}

fn a_missing_file_cannot_be_opened(dir: &dyn Storage) {
    let dir = created(dir);
    for mode in [OpenMode::Read, OpenMode::ReadWrite] {
        assert_eq!(error_kind(dir.open("a", mode)), ErrorKind::NotFound);
    }
    assert!(names(dir).is_empty(), "only CreateNew makes files");
}

fn a_directory_cannot_be_opened(dir: &dyn Storage) {
    let dir = created(dir);
    dir.subdirectory("sub")
        .expect("subdirectory")
        .create()
        .expect("create");
    for mode in [OpenMode::Read, OpenMode::ReadWrite] {
        error_kind(dir.open("sub", mode));
    }
}

fn a_rename_moves_the_file(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "a", b"moved");
    dir.rename("a", "b").expect("rename");
    assert_eq!(names(dir), ["b"]);
    assert_eq!(content(dir, "b"), b"moved");
    dir.sync_dir().expect("sync_dir");
    assert_eq!(names(dir), ["b"]);
}

fn a_rename_never_replaces(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "a", b"new");
    new_file(dir, "b", b"old, and longer");
    assert_eq!(error_kind(dir.rename("a", "b")), ErrorKind::AlreadyExists);
    assert_eq!(names(dir), ["a", "b"]);
    assert_eq!(content(dir, "a"), b"new");
    assert_eq!(content(dir, "b"), b"old, and longer");
}

fn a_rename_to_itself_is_refused(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "a", b"same");
    assert_eq!(error_kind(dir.rename("a", "a")), ErrorKind::AlreadyExists);
    assert_eq!(content(dir, "a"), b"same");
}

fn a_rename_needs_a_file(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "b", b"kept");
    assert_eq!(error_kind(dir.rename("a", "b")), ErrorKind::NotFound);
    assert_eq!(content(dir, "b"), b"kept");
}

fn a_replacement_takes_the_name_and_leaves_no_other(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "a", b"new");
    let old = new_file(dir, "b", b"old, and longer");
    dir.replace("a", "b").expect("replace");
    assert_eq!(names(dir), ["b"]);
    assert_eq!(content(dir, "b"), b"new");
    let mut bytes = [0; 3];
    old.read_exact_at(&mut bytes, 0)
        .expect("a handle of the replaced file");
    assert_eq!(&bytes, b"old");
    assert!(matches!(old.links(), Ok(None | Some(0))));
    // The name may be free.
    dir.replace("b", "c").expect("replace");
    assert_eq!(names(dir), ["c"]);
    dir.sync_dir().expect("sync_dir");
    assert_eq!(content(dir, "c"), b"new");
}

fn a_replacement_needs_a_file_and_another_name(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "b", b"kept");
    assert_eq!(error_kind(dir.replace("a", "b")), ErrorKind::NotFound);
    assert_eq!(error_kind(dir.replace("b", "b")), ErrorKind::InvalidInput);
    let sub = dir.subdirectory("sub").expect("subdirectory");
    sub.create().expect("create");
    error_kind(dir.replace("b", "sub"));
    assert_eq!(names(dir), ["b", "sub"]);
    assert_eq!(content(dir, "b"), b"kept");
}

fn a_rename_does_not_replace_a_directory(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "a", b"file");
    dir.subdirectory("sub")
        .expect("subdirectory")
        .create()
        .expect("create");
    assert_eq!(error_kind(dir.rename("a", "sub")), ErrorKind::AlreadyExists);
    assert_eq!(names(dir), ["a", "sub"]);
}

fn a_handle_follows_its_file_through_a_rename(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"12");
    dir.rename("a", "b").expect("rename");
    file.write_all_at(b"34", 2).expect("write after a rename");
    file.sync_data().expect("sync after a rename");
    assert_eq!(content(dir, "b"), b"1234");
}

fn links_count_the_names_of_a_file(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"12");
    let links = |what: &str| file.links().expect(what);
    // Not every platform can tell.
    if links("links").is_none() {
        return;
    }
    assert_eq!(links("of a new file"), Some(1));
    dir.rename("a", "b").expect("rename");
    assert_eq!(links("of a renamed file"), Some(1));
    let other = dir.open("b", OpenMode::Read).expect("open");
    dir.remove("b").expect("remove");
    assert_eq!(links("of a removed file"), Some(0));
    assert_eq!(other.links().expect("links"), Some(0));
    new_file(dir, "b", b"another");
    assert_eq!(links("its name is another's now"), Some(0));
}

fn a_removed_name_is_gone(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "a", b"gone");
    new_file(dir, "b", b"kept");
    dir.remove("a").expect("remove");
    assert_eq!(names(dir), ["b"]);
    assert_eq!(
        error_kind(dir.open("a", OpenMode::Read)),
        ErrorKind::NotFound
    );
    assert_eq!(error_kind(dir.remove("a")), ErrorKind::NotFound);
    dir.sync_dir().expect("sync_dir");
    assert_eq!(names(dir), ["b"]);
}

fn only_files_are_removed(dir: &dyn Storage) {
    let dir = created(dir);
    dir.subdirectory("sub")
        .expect("subdirectory")
        .create()
        .expect("create");
    error_kind(dir.remove("sub"));
    assert_eq!(names(dir), ["sub"]);
}

fn a_handle_of_a_removed_file_keeps_it(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"12");
    dir.remove("a").expect("remove");
    dir.sync_dir().expect("sync_dir");
    file.write_all_at(b"34", 2).expect("write after removal");
    file.sync_data().expect("sync after removal");
    assert_eq!(all(&*file), b"1234");
}

fn a_removed_name_can_be_used_again(dir: &dyn Storage) {
    let dir = created(dir);
    let old = new_file(dir, "a", b"old");
    dir.remove("a").expect("remove");
    let new = new_file(dir, "a", b"");
    assert_eq!(new.len().expect("len"), 0, "a new file is empty");
    new.write_all_at(b"new", 0).expect("write");
    assert_eq!(all(&*old), b"old");
    assert_eq!(content(dir, "a"), b"new");
}
