//! The directory itself: made, listed, nested, missing.

use std::io::ErrorKind;

use super::{case_list, content, created, error_kind, names, new_file};
use crate::{DirEntry, EntryKind, OpenMode, Place, Storage};

case_list! {
    a_directory_is_empty_when_made,
    making_it_again_keeps_what_is_in_it,
    nothing_works_in_a_missing_directory,
    the_list_tells_files_from_directories,
    naming_a_subdirectory_touches_nothing,
    making_a_subdirectory_makes_what_is_above_it,
    a_subdirectory_has_names_of_its_own,
    a_file_is_no_directory,
    only_plain_names_are_accepted,
    a_location_is_told_before_the_directory_exists,
    a_directory_is_where_it_was_found,
}

fn a_directory_is_empty_when_made(dir: &dyn Storage) {
    dir.create().expect("create");
    assert!(dir.list().expect("list").is_empty());
    dir.sync_dir().expect("sync_dir");
}

fn making_it_again_keeps_what_is_in_it(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "a", b"kept");
    dir.create().expect("create again");
    assert_eq!(content(dir, "a"), b"kept");
}

fn nothing_works_in_a_missing_directory(dir: &dyn Storage) {
    assert_eq!(error_kind(dir.list()), ErrorKind::NotFound);
    assert_eq!(error_kind(dir.sync_dir()), ErrorKind::NotFound);
    for mode in [OpenMode::Read, OpenMode::ReadWrite, OpenMode::CreateNew] {
        assert_eq!(error_kind(dir.open("a", mode)), ErrorKind::NotFound);
    }
    assert_eq!(error_kind(dir.rename("a", "b")), ErrorKind::NotFound);
    assert_eq!(error_kind(dir.remove("a")), ErrorKind::NotFound);
    assert_eq!(error_kind(dir.try_lock("a")), ErrorKind::NotFound);
    assert_eq!(
        error_kind(dir.list()),
        ErrorKind::NotFound,
        "no call has made the directory"
    );
}

fn the_list_tells_files_from_directories(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "file", b"");
    dir.subdirectory("sub")
        .expect("subdirectory")
        .create()
        .expect("create");
    let mut entries = dir.list().expect("list");
    entries.sort();
    let expected = [
        DirEntry {
            name: "file".to_owned(),
            kind: EntryKind::File,
        },
        DirEntry {
            name: "sub".to_owned(),
            kind: EntryKind::Directory,
        },
    ];
    assert_eq!(entries, expected);
}

fn naming_a_subdirectory_touches_nothing(dir: &dyn Storage) {
    let dir = created(dir);
    let sub = dir.subdirectory("sub").expect("subdirectory");
    assert!(names(dir).is_empty());
    assert_eq!(error_kind(sub.list()), ErrorKind::NotFound);
}

fn making_a_subdirectory_makes_what_is_above_it(dir: &dyn Storage) {
    let sub = dir
        .subdirectory("one")
        .and_then(|one| one.subdirectory("two"))
        .expect("names");
    sub.create().expect("create");
    assert_eq!(names(dir), ["one"]);
    new_file(&*sub, "a", b"deep");
    assert_eq!(names(&*sub), ["a"]);
}

fn a_subdirectory_has_names_of_its_own(dir: &dyn Storage) {
    let dir = created(dir);
    let sub = dir.subdirectory("sub").expect("subdirectory");
    sub.create().expect("create");
    new_file(dir, "a", b"outer");
    new_file(&*sub, "a", b"inner");
    assert_eq!(content(dir, "a"), b"outer");
    assert_eq!(content(&*sub, "a"), b"inner");
    sub.remove("a").expect("remove");
    assert_eq!(names(dir), ["a", "sub"]);
    let again = dir.subdirectory("sub").expect("subdirectory");
    assert!(names(&*again).is_empty(), "both handles show one directory");
}

fn a_file_is_no_directory(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "a", b"file");
    let wrong = dir.subdirectory("a").expect("a name is only a name");
    assert_eq!(error_kind(wrong.list()), ErrorKind::NotADirectory);
    let kind = error_kind(wrong.create());
    assert!(
        matches!(kind, ErrorKind::NotADirectory | ErrorKind::AlreadyExists),
        "create over a file gives {kind:?}"
    );
    let below = wrong.subdirectory("b").expect("a name is only a name");
    assert!(below.create().is_err(), "create below a file must fail");
    assert_eq!(content(dir, "a"), b"file");
}

fn only_plain_names_are_accepted(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "a", b"");
    for name in [
        "", ".", "..", "/", "a/b", "/a", "../a", "a\\b", "c:a", "a\0",
    ] {
        let kinds = [
            error_kind(dir.open(name, OpenMode::Read)),
            error_kind(dir.open(name, OpenMode::ReadWrite)),
            error_kind(dir.open(name, OpenMode::CreateNew)),
            error_kind(dir.rename("a", name)),
            error_kind(dir.rename(name, "b")),
            error_kind(dir.remove(name)),
            error_kind(dir.try_lock(name)),
            error_kind(dir.subdirectory(name)),
        ];
        assert_eq!(kinds, [ErrorKind::InvalidInput; 8], "the name {name:?}");
    }
    assert_eq!(names(dir), ["a"]);
}

fn a_location_is_told_before_the_directory_exists(dir: &dyn Storage) {
    let sub = dir.subdirectory("sub").expect("subdirectory");
    assert!(!dir.location().is_empty());
    assert_ne!(dir.location(), sub.location());
    assert_eq!(error_kind(dir.list()), ErrorKind::NotFound);
}

fn a_directory_is_where_it_was_found(dir: &dyn Storage) {
    let dir = created(dir);
    assert_eq!(dir.place(), Place::Here);
    let sub = dir.subdirectory("sub").expect("subdirectory");
    sub.create().expect("create");
    new_file(&*sub, "a", b"");
    assert_eq!(sub.place(), Place::Here);
    assert_eq!(dir.place(), Place::Here);
}
