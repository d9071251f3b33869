//! Variants that break this: a log is its directory, wherever that is by now, in the process that opened it.

use super::{Variant, promise, test};

pub(super) const VARIANTS: &[Variant] = &[
    promise(
        "path-not-checked",
        "a log notices that its directory was moved",
        "promises::place::a_moved_directory_is_noticed_at_the_next_rotation_and_at_the_close",
    ),
    promise(
        "deleted-file-acknowledged",
        "nothing is acknowledged in a file that was deleted",
        "promises::place::a_deleted_file_is_never_acknowledged",
    ),
    promise(
        "rotated-away-from-a-deleted-file",
        "nothing is acknowledged in the segment after one that was deleted",
        "promises::place::nothing_is_acknowledged_in_the_segment_after_one_that_was_deleted",
    ),
    promise(
        "half-renamed-taken-for-refused",
        "a rename in two steps that fails after the first is not taken for undone",
        "promises::place::a_truncation_that_fails_inside_a_rename_in_two_steps_is_not_called_undone",
    ),
    promise(
        "deleted-directory-taken-for-new",
        "a directory that is gone is no new log",
        "promises::place::a_directory_that_is_gone_once_it_is_locked_is_no_new_log",
    ),
    promise(
        "spare-with-two-names-reused",
        "a file that is a segment under another name is only unlinked",
        "promises::place::a_spare_that_is_a_segment_under_another_name_is_only_unlinked",
    ),
    promise(
        "pid-written-after-recovery",
        "a refused opener is told who has the log",
        "promises::place::the_pid_of_the_holder_is_written_before_the_log_is_read",
    ),
    test(
        "disk-rename-replaces",
        "no rename replaces a file",
        "wal-io",
        "conformance",
        "disk",
    ),
    test(
        "disk-directory-found-anew",
        "the log never writes outside the directory that it locked",
        "wal-core",
        "neighbours",
        "without_the_path_check_a_moved_log_goes_on_in_its_own_directory",
    ),
    test(
        "disk-directory-opened-for-its-sync",
        "a rotation needs no descriptor for the sync of its name",
        "wal-core",
        "limited",
        "a_log_goes_on_into_the_next_segment_while_no_descriptor_is_left",
    ),
    test(
        "disk-unreadable-parent-refused",
        "the first attempt under a parent that cannot be read works",
        "wal-core",
        "limited",
        "a_log_is_made_at_the_first_attempt_under_a_parent_that_cannot_be_read",
    ),
    test(
        "directory-not-locked",
        "deleting the lock's file lets nobody in",
        "wal-core",
        "neighbours",
        "deleting_the_lock_lets_no_second_writer_in",
    ),
    test(
        "lock-not-given-up-by-name",
        "a closed log is free, whatever children were being started",
        "wal-core",
        "forks",
        "a_closed_log_opens_again_while_another_thread_spawns_processes",
    ),
    test(
        "lock-given-up-by-a-child",
        "a fork does not unlock its parent's log",
        "wal-core",
        "forks",
        "a_fork_that_drops_a_log_without_threads_does_not_unlock_it",
    ),
    test(
        "used-in-a-fork",
        "a fork can do nothing to its parent's log",
        "wal-core",
        "forks",
        "a_fork_can_do_nothing_to_the_log_and_its_drop_ends_nothing",
    ),
    test(
        "dropped-in-a-fork",
        "a handle that is dropped in a fork ends nothing",
        "wal-core",
        "forks",
        "a_fork_can_do_nothing_to_the_log_and_its_drop_ends_nothing",
    ),
    test(
        "kv-dropped-in-a-fork",
        "a store that is dropped in a fork ends nothing and does not hang",
        "wal-kv",
        "forks",
        "a_fork_can_do_nothing_to_the_store_and_its_drop_ends_nothing",
    ),
];
