//! Mistakes about calls that wait, and about the resources that the log holds.

use super::{Variant, promise, test};

pub(super) const VARIANTS: &[Variant] = &[
    promise(
        "full-segments-without-a-commit",
        "a call that waits comes to its end",
        "promises::progress::an_append_that_needs_a_third_segment_ends_although_nobody_waits_for_the_earlier_records",
    ),
    promise(
        "leader-waited-for-without-end",
        "a call that waits comes to its end",
        "promises::progress::a_waiter_that_is_kept_and_not_polled_holds_up_nobody",
    ),
    promise(
        "footers-without-a-bound",
        "the writing side holds at most sixteen open files",
        "promises::progress::files_that_wait_for_their_footers_are_bounded_where_each_record_fills_a_segment",
    ),
    test(
        "local-task-blocks-its-thread",
        "a task that waits does not hold up the tasks beside it",
        "wal-core",
        "async_runtimes",
        "async_runtimes::progress::a_slow_sync_does_not_hold_up_the_other_tasks_of_a_local_set",
    ),
];
