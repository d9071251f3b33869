//! Locks: one holder, released with the value, the file left alone.

use super::{case_list, content, created, error_kind, names, new_file};
use crate::Storage;

case_list! {
    a_lock_has_one_holder,
    a_lock_ends_with_its_value,
    a_lock_makes_its_file_and_leaves_it,
    a_lock_does_not_touch_the_file,
    a_lock_is_on_the_directory_whatever_its_name,
    deleting_the_file_of_a_lock_lets_nobody_in,
    locks_of_different_directories_are_independent,
    a_directory_cannot_be_locked,
    one_of_many_threads_gets_the_lock,
}

fn a_lock_has_one_holder(dir: &dyn Storage) {
    let dir = created(dir);
    let held = dir.try_lock("lock").expect("try_lock");
    assert!(held.is_some(), "a free lock is taken");
    assert!(
        dir.try_lock("lock").expect("try_lock").is_none(),
        "a held lock is not"
    );
    assert!(
        dir.try_lock("lock").expect("try_lock").is_none(),
        "nor at the second attempt"
    );
}

fn a_lock_ends_with_its_value(dir: &dyn Storage) {
    let dir = created(dir);
    for _ in 0..3 {
        let held = dir.try_lock("lock").expect("try_lock");
        assert!(held.is_some());
        drop(held);
    }
}

fn a_lock_makes_its_file_and_leaves_it(dir: &dyn Storage) {
    let dir = created(dir);
    let held = dir.try_lock("lock").expect("try_lock");
    assert_eq!(names(dir), ["lock"]);
    drop(held);
    assert_eq!(names(dir), ["lock"]);
}

fn a_lock_does_not_touch_the_file(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "lock", b"who");
    drop(
        dir.try_lock("lock")
            .expect("try_lock")
            .expect("a free lock is taken"),
    );
    assert_eq!(content(dir, "lock"), b"who");
}

fn a_lock_is_on_the_directory_whatever_its_name(dir: &dyn Storage) {
    let dir = created(dir);
    let held = dir.try_lock("one").expect("try_lock");
    assert!(held.is_some());
    assert!(dir.try_lock("other").expect("try_lock").is_none());
    drop(held);
    assert!(dir.try_lock("other").expect("try_lock").is_some());
}

fn deleting_the_file_of_a_lock_lets_nobody_in(dir: &dyn Storage) {
    let dir = created(dir);
    let held = dir.try_lock("lock").expect("try_lock");
    assert!(held.is_some());
    dir.remove("lock").expect("remove");
    assert!(dir.try_lock("lock").expect("try_lock").is_none());
    drop(held);
    assert!(dir.try_lock("lock").expect("try_lock").is_some());
}

fn locks_of_different_directories_are_independent(dir: &dyn Storage) {
    let dir = created(dir);
    let sub = dir.subdirectory("sub").expect("subdirectory");
    sub.create().expect("create");
    let outer = dir.try_lock("lock").expect("try_lock");
    let inner = sub.try_lock("lock").expect("try_lock");
    assert!(outer.is_some() && inner.is_some());
}

fn a_directory_cannot_be_locked(dir: &dyn Storage) {
    let dir = created(dir);
    dir.subdirectory("sub")
        .expect("subdirectory")
        .create()
        .expect("create");
    error_kind(dir.try_lock("sub"));
}

fn one_of_many_threads_gets_the_lock(dir: &dyn Storage) {
    let dir = created(dir);
    let barrier = std::sync::Barrier::new(4);
    let attempt = || {
        barrier.wait();
        let held = dir.try_lock("lock").expect("try_lock");
        barrier.wait();
        held.is_some()
    };
    let holders: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(attempt)).collect();
        threads
            .into_iter()
            .map(|thread| usize::from(thread.join().expect("join")))
            .sum()
    });
    assert_eq!(holders, 1);
}
