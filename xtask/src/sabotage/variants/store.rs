//! The bounds of the store: what it takes on disk and in memory.

use super::{Variant, test};

const fn bound(name: &'static str, breaks: &'static str, finds: &'static str) -> Variant {
    test(name, breaks, "wal-kv", "disk_bound", finds)
}

/// By writers at the bound of the log.
const fn waits(name: &'static str, breaks: &'static str, finds: &'static str) -> Variant {
    test(name, breaks, "wal-kv", "waits_at_the_bound", finds)
}

/// By the tests of the limits of memory.
const fn memory(name: &'static str, breaks: &'static str, finds: &'static str) -> Variant {
    test(name, breaks, "wal-kv", "memory", finds)
}

pub(super) const VARIANTS: &[Variant] = &[
    bound(
        "kv-due-while-writing-ignored",
        "a snapshot that is due is written",
        "a_snapshot_that_is_due_when_one_is_written_comes_with_no_further_put",
    ),
    bound(
        "kv-log-without-a-bound",
        "what a store takes on disk is bounded",
        "at_the_bound_writes_are_refused_with_the_failed_snapshot_and_reads_and_deletes_go_on",
    ),
    bound(
        "kv-bound-forgets-the-data-before",
        "what a store takes on disk is bounded, also when its data became less",
        "the_bound_holds_for_a_snapshot_and_a_log_of_data_that_is_gone_by_now",
    ),
    bound(
        "kv-heads-of-restarts-not-counted",
        "what a store takes on disk is bounded, through any number of restarts",
        "the_bound_holds_through_any_number_of_restarts_with_a_write_each",
    ),
    bound(
        "kv-bound-by-the-files-that-are-there",
        "what a store takes on disk is bounded, by the length of the segments that come too",
        "the_bound_holds_for_segments_of_a_size_that_was_chosen_before",
    ),
    bound(
        "kv-deletes-of-one-key-pass-the-bound",
        "what a store takes on disk is bounded: there are as many deletes as keys",
        "a_batch_that_deletes_a_key_many_times_does_not_pass_the_bound",
    ),
    test(
        "kv-older-snapshot-left-behind",
        "what a store takes on disk is bounded, after a kill too",
        "wal-kv",
        "snapshots",
        "a_snapshot_that_a_crash_has_left_beside_its_successor_is_removed_by_the_next_open",
    ),
    bound(
        "kv-no-snapshot-for-space",
        "a full disk is met with a snapshot first",
        "a_full_disk_is_met_with_a_snapshot_first",
    ),
    waits(
        "kv-writers-not-slowed",
        "near the bound writers are slowed",
        "writers_are_slowed_from_two_due_lengths_on_and_more_with_each_byte",
    ),
    waits(
        "kv-close-wakes-nobody-at-the-bound",
        "a call that waits always ends",
        "a_close_wakes_writers_that_wait_at_the_bound",
    ),
    waits(
        "kv-snapshot-without-a-view-fails-silently",
        "a call that waits always ends",
        "writers_at_the_bound_of_a_log_that_takes_no_more_are_told",
    ),
    test(
        "kv-whole-snapshot-replaced",
        "a snapshot that the log was cut for is there at every moment",
        "wal-kv",
        "snapshot_crash",
        "a_snapshot_that_is_tried_again_after_an_error_is_there_at_every_moment",
    ),
    waits(
        "kv-no-sweep-in-a-snapshot",
        "expired keys are reclaimed, and their time is marked, each second",
        "expired_keys_are_reclaimed_while_a_long_snapshot_is_written",
    ),
    waits(
        "kv-late-failure-tried-again-at-once",
        "snapshots that fail take at most a fifth of the time",
        "a_snapshot_that_fails_late_is_not_tried_again_at_once",
    ),
    bound(
        "kv-replay-keeps-history",
        "opening takes memory for live data",
        "opening_takes_memory_for_live_data_and_not_for_its_history",
    ),
    bound(
        "kv-replay-keeps-deletes",
        "opening takes memory for live data",
        "opening_takes_no_memory_for_keys_that_were_deleted",
    ),
    memory(
        "kv-mark-without-room-not-waited-for",
        "expired keys make room before a write is refused",
        "keys_that_have_expired_make_room_while_the_log_has_none_for_their_mark",
    ),
    test(
        "kv-version-filed-under-its-newest-view",
        "a view shows one moment for as long as it is open",
        "wal-kv",
        "model",
        "model::world::every_answer_is_the_model_s",
    ),
    test(
        "kv-log-cut-one-record-too-far",
        "the log keeps what the snapshot does not have",
        "wal-kv",
        "crash_search",
        "crash_search::campaign::after_any_crash_the_store_holds_what_it_must",
    ),
    test(
        "kv-view-shows-the-next-write",
        "a view shows one moment for as long as it is open",
        "wal-kv",
        "linear",
        "linear::together::several_keys_are_one_register",
    ),
    test(
        "kv-replay-forgets-deletes-early",
        "a deleted key does not come back",
        "wal-kv",
        "wal_kv",
        "index::tests::a_key_stays_deleted_whose_put_is_read_after_its_delete",
    ),
    test(
        "kv-conditional-put-drops-the-ttl",
        "a conditional put keeps the expiry",
        "wal-kv",
        "expiry",
        "a_conditional_put_keeps_the_expiry_of_what_it_replaces",
    ),
    test(
        "kv-last-handle-waits",
        "dropping an async handle does not block the runtime's thread",
        "wal-kv",
        "asynchronous",
        "dropping_the_last_handle_during_a_snapshot_does_not_block_the_thread",
    ),
    test(
        "stats-wait-for-the-log",
        "reads and counters wait for no write",
        "wal-kv",
        "waits",
        "reads_and_counters_do_not_wait_for_the_lock_of_the_log",
    ),
    memory(
        "kv-views-hold-without-a-limit",
        "what views hold in memory is bounded",
        "above_their_limit_views_stop_writes_of_what_they_show_and_nothing_else",
    ),
    memory(
        "kv-snapshot-counts-as-a-view",
        "the store's own snapshot refuses no write",
        "values_of_the_same_length_replace_each_other_at_the_limit_while_snapshots_are_written",
    ),
    memory(
        "kv-views-count-as-live-data",
        "values of the same length replace each other at the limit",
        "values_of_the_same_length_replace_each_other_at_the_limit_whatever_a_view_holds",
    ),
    memory(
        "kv-tables-never-shrink",
        "tables shrink when keys leave",
        "tables_and_nodes_shrink_when_keys_leave",
    ),
    memory(
        "kv-nodes-never-shrink",
        "nodes shrink when keys leave",
        "tables_and_nodes_shrink_when_keys_leave",
    ),
    memory(
        "kv-empty-nodes-stay",
        "nodes without keys do not pile up",
        "a_queue_of_keys_takes_no_more_memory_than_its_keys",
    ),
];
