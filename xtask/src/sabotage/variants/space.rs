//! Mistakes about the log's space on disk, and about full disks.

use super::{Variant, programs, promise};

pub(super) const VARIANTS: &[Variant] = &[
    promise(
        "reserve-not-made",
        "with no byte free the log can be truncated",
        "promises::reserve::truncate_after_works_with_no_byte_free",
    ),
    promise(
        "reserve-not-made-again",
        "with no byte free the log can be truncated",
        "promises::reserve::the_reserve_is_made_again_when_there_is_room",
    ),
    promise(
        "cut-before-its-record",
        "no truncation is there without its record",
        "promises::reserved_crashes::a_power_loss_at_every_change_of_sessions_with_no_byte_free",
    ),
    promise(
        "file-kept-after-a-failed-sync",
        "a sync that has failed is never tried again",
        "promises::reserve::a_file_of_the_reserve_whose_sync_has_failed_is_not_used_again",
    ),
    promise(
        "unproven-cut-believed",
        "no file goes because of what a crash may take",
        "promises::reserved_crashes::a_truncation_that_was_not_synced_removes_nothing_that_a_crash_brings_back",
    ),
    promise(
        "reserve-not-remade",
        "with no byte free the log is opened any number of times",
        "promises::reserved::the_log_is_opened_any_number_of_times_with_no_byte_free",
    ),
    promise(
        "reserve-for-any-append",
        "the reserve holds the counts",
        "promises::reserved::with_no_byte_free_the_reserve_holds_the_counts_in_any_order_and_over_any_sessions",
    ),
    promise(
        "truncations-in-the-reserve-forgotten",
        "the reserve holds the counts",
        "promises::reserved::one_kind_of_the_reserved_calls_leaves_the_room_of_the_other",
    ),
    promise(
        "reserve-left-without-another",
        "with no byte free the log is opened any number of times",
        "promises::reserved::the_reserve_is_left_only_where_it_is_whole_afterwards",
    ),
    promise(
        "first-lsn-not-remembered",
        "what was truncated stays away",
        "promises::reserve::truncate_before_works_with_no_byte_free",
    ),
    programs(
        "cut-before-the-copy",
        "space is given back when its successor is durable",
    ),
    programs(
        "given-back-before-the-successor-is-durable",
        "a newest file is as long as its header says",
    ),
    programs(
        "cut-before-the-end",
        "only space behind the data is given back",
    ),
    promise(
        "segments-above-pile-up",
        "what the log takes on disk is bounded",
        "promises::space::space_does_not_grow_with_power_losses_before_the_first_sync",
    ),
    promise(
        "dropped-records-keep-their-space",
        "what the log takes on disk is bounded",
        "promises::space::space_does_not_grow_with_truncations_of_the_newest_records",
    ),
    promise(
        "outdated-footer-kept",
        "what the log takes on disk is bounded",
        "promises::space::a_crash_inside_truncate_after_does_not_keep_the_space_of_what_is_dropped",
    ),
    promise(
        "forgotten-beyond-the-end",
        "a log whose first LSN is raised by a name holds all that it says",
        "promises::reserve::truncations_of_both_ends_with_no_byte_free_do_not_cross",
    ),
];
