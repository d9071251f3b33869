//! What can be broken. Each variant is a mistake that a log has been shipped with somewhere, or could be. The names are those
//! in the crates: `sabotage::is("NAME")`.

mod clock;
mod control;
mod environment;
mod history;
mod place;
mod progress;
mod repair;
mod reports;
mod space;
mod store;
mod versions;

use std::fmt;

use super::build::Target;

/// A deliberate mistake.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) name: &'static str,
    /// The rule or the promise that it breaks; invariants are those of ARCHITECTURE.md.
    pub(super) breaks: &'static str,
    pub(super) seen: Seen,
}

impl Variant {
    /// Whether only a trace of the system calls shows it.
    pub(super) fn needs_strace(&self) -> bool {
        match &self.seen {
            Seen::ByPrograms => false,
            Seen::By(test) => test.target.name == SYSCALLS,
            Seen::ByFault(_) => true,
        }
    }
}

/// The test program that traces the command.
const SYSCALLS: &str = "syscalls";

/// Who notices.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The random crash programs.
    ByPrograms,
    /// A test: it needs threads, damage at rest, or an eye on the system calls.
    By(Test),
    /// A fault in one system call of the command: a case of `cargo xtask syscalls`.
    ByFault(&'static str),
}

/// One test of a test program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) target: Target,
    pub(super) name: &'static str,
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)
    }
}

const fn programs(name: &'static str, breaks: &'static str) -> Variant {
    Variant {
        name,
        breaks,
        seen: Seen::ByPrograms,
    }
}

const fn test(
    name: &'static str,
    breaks: &'static str,
    package: &'static str,
    program: &'static str,
    test: &'static str,
) -> Variant {
    let target = Target {
        package,
        name: program,
    };
    let test = Test { target, name: test };
    Variant {
        name,
        breaks,
        seen: Seen::By(test),
    }
}

/// By a test of a promise.
const fn promise(name: &'static str, breaks: &'static str, by: &'static str) -> Variant {
    test(name, breaks, "wal-core", "promises", by)
}

/// By a row of the table of what recovery does.
const fn row(name: &'static str, breaks: &'static str, by: &'static str) -> Variant {
    test(name, breaks, "wal-core", "recovery_table", by)
}

/// By the system calls of the command.
const fn calls(name: &'static str, breaks: &'static str, by: &'static str) -> Variant {
    test(name, breaks, "wal-cli", SYSCALLS, by)
}

/// By hundreds of sessions of a log or a store.
const fn sessions(name: &'static str, breaks: &'static str, by: &'static str) -> Variant {
    store(name, breaks, "sessions", by)
}

/// By a fault in one of the command's system calls.
const fn fault(name: &'static str, breaks: &'static str, case: &'static str) -> Variant {
    Variant {
        name,
        breaks,
        seen: Seen::ByFault(case),
    }
}

/// By a test of the store.
const fn store(
    name: &'static str,
    breaks: &'static str,
    program: &'static str,
    by: &'static str,
) -> Variant {
    test(name, breaks, "wal-kv", program, by)
}

/// All of them.
pub(super) fn variants() -> impl Iterator<Item = &'static Variant> {
    let about = [
        VARIANTS,
        clock::VARIANTS,
        environment::VARIANTS,
        history::VARIANTS,
        place::VARIANTS,
        progress::VARIANTS,
        repair::VARIANTS,
        reports::VARIANTS,
        space::VARIANTS,
        versions::VARIANTS,
        control::VARIANTS,
        store::VARIANTS,
    ];
    about.into_iter().flatten()
}

/// Those of the log and the store, by what they are about.
const VARIANTS: &[Variant] = &[
    // Data that no sync has covered.
    programs("commit-sync-skipped", "4: acknowledged by a sync"),
    programs("acknowledged-when-written", "4: acknowledged by a sync"),
    promise(
        "sync-covers-later-writes",
        "4: by a sync that began after the write",
        "promises::in_flight::appends_go_on_during_a_sync_which_does_not_cover_them",
    ),
    promise(
        "sync-on-a-fresh-handle",
        "4: by a sync of the handle that wrote",
        "promises::order::a_segment_is_written_through_the_handle_that_syncs_it",
    ),
    promise(
        "durable-lsn-off-by-one",
        "4: up to where the sync has covered",
        "promises::in_flight::appends_go_on_during_a_sync_which_does_not_cover_them",
    ),
    programs(
        "rotated-segment-not-synced",
        "1: a durable LSN implies all smaller ones",
    ),
    promise(
        "two-syncs-in-flight",
        "3: never two syncs of one file",
        "promises::in_flight::at_most_one_sync_in_flight_per_file",
    ),
    promise(
        "third-segment-begun-early",
        "at most two segments are unproven",
        "promises::in_flight::a_third_segment_waits_for_the_sync_of_the_first",
    ),
    promise(
        "zeros-over-the-last-page",
        "zeros are written ahead of the records only",
        "promises::ahead::a_crash_finds_the_records_and_no_zeros_between_them",
    ),
    promise(
        "record-where-zeros-are-written",
        "no record enters a range that is being overwritten with zeros",
        "promises::ahead::appends_keep_away_from_the_zeros",
    ),
    programs("spare-sync-skipped", "6: complete before it has its name"),
    programs("footer-sync-skipped", "a clean close is a durable mark"),
    programs(
        "closed-before-it-is-synced",
        "a footer is behind durable data only",
    ),
    promise(
        "sealed-before-it-is-synced",
        "a footer is behind durable data only",
        "promises::order::a_footer_is_written_when_the_data_and_the_successors_name_are_durable",
    ),
    // Names that no sync has covered.
    programs("name-sync-skipped", "6: the name is durable"),
    programs(
        "made-under-its-final-name",
        "6: complete before it has its name",
    ),
    promise(
        "spare-name-sync-skipped",
        "6: the spare's own name is durable first",
        "promises::order::a_spare_is_complete_and_durable_before_it_gets_its_name",
    ),
    promise(
        "name-before-the-one-before-it",
        "1: no hole in the chain of names",
        "promises::order::a_spare_made_ahead_does_not_stand_for_the_name_before_it",
    ),
    programs(
        "sealed-before-the-successor-is-named",
        "a footer names a file that is there",
    ),
    promise(
        "parent-of-a-made-directory-not-synced",
        "the directory itself survives",
        "promises::order::the_parent_is_synced_even_if_an_earlier_process_made_the_directory",
    ),
    // Errors of the system.
    programs("failed-sync-retried", "5: a failed sync is final"),
    programs(
        "failed-name-sync-retried",
        "5: a failed sync is final, the directory's too",
    ),
    programs("sync-error-ignored", "5: a failed sync is final"),
    programs("write-error-ignored", "5: a failed write is final"),
    programs(
        "full-disk-at-a-write-ignored",
        "5: a failed write is final, on a full disk too",
    ),
    programs("poison-not-kept", "5: nothing goes on after a failure"),
    promise(
        "poison-wakes-nobody",
        "every waiter gets the error",
        "promises::waiters::every_future_that_waits_is_woken_before_the_error_is_returned",
    ),
    promise(
        "poisoned-log-read-on",
        "a poisoned log shows what is durable",
        "promises::poison::a_reader_that_was_ahead_of_the_durable_lsn_gets_the_error",
    ),
    promise(
        "short-write-taken-for-whole",
        "short writes are continued",
        "promises::poison::eintr_and_short_writes_are_continued",
    ),
    programs("eintr-taken-for-done", "interrupted calls are repeated"),
    programs(
        "space-not-allocated",
        "a full disk is met before a record is accepted",
    ),
    // What the policies promise.
    promise(
        "batch-without-a-timer",
        "`Batch` syncs by itself",
        "promises::policies::batch_syncs_by_itself_when_nothing_more_is_appended",
    ),
    programs("flush-does-nothing", "`flush` survives a kill"),
    promise(
        "dropped-without-a-sync",
        "the last handle syncs",
        "promises::closing::dropping_the_last_handle_hands_over_and_syncs_without_a_clean_mark",
    ),
    promise(
        "lock-let-go",
        "one writer for a directory",
        "promises::lock::one_writer_per_directory",
    ),
    programs(
        "read-only-open-tidies-up",
        "a read-only open changes no byte",
    ),
    // Groups, watermarks, epochs.
    programs("batch-in-several-groups", "2: a batch lies in one group"),
    programs(
        "records-not-checked",
        "2: a group is valid as a whole or not at all",
    ),
    programs(
        "watermark-ahead-of-the-sync",
        "a watermark is about what a sync has covered",
    ),
    promise(
        "watermark-inside-a-batch",
        "2: watermarks stand at batch ends",
        "promises::batches::watermarks_stand_only_at_batch_ends",
    ),
    promise(
        "epoch-not-new",
        "each file has an epoch of its own",
        "promises::damage::stale_bytes_behind_the_end_are_not_reported_as_torn",
    ),
    promise(
        "epoch-of-the-one-before-not-compared",
        "a link names one file, not a number",
        "promises::strangers::a_segment_of_a_copy_that_went_its_own_way_is_not_taken_for_the_logs",
    ),
    promise(
        "another-log-accepted",
        "records of another log are not shown",
        "promises::strangers::a_segment_of_another_log_is_refused_and_nothing_is_removed",
    ),
    // Proof and damage.
    programs(
        "successor-counted-as-proof",
        "a link gives order, it is no proof",
    ),
    promise(
        "not-looked-behind-damage",
        "torn is not corrupt: a later group may prove it",
        "promises::damage::damage_to_durable_data_is_corruption_with_its_place",
    ),
    promise(
        "damage-taken-for-a-torn-tail",
        "damage to durable data is an error",
        "promises::damage::damage_to_durable_data_is_corruption_with_its_place",
    ),
    row(
        "missing-segment-accepted",
        "a hole in the chain is an error",
        "recovery_table::closed::a_predecessor_that_is_missing",
    ),
    row(
        "missing-successor-accepted",
        "a missing newest file is an error",
        "recovery_table::closed::a_successor_that_is_missing",
    ),
    row(
        "short-file-accepted",
        "a file cut short is damage",
        "recovery_table::unclean::a_newest_file_that_lost_its_last_sector",
    ),
    promise(
        "reader-skips-damage",
        "never fewer records without a word",
        "promises::damage::damage_in_an_older_segment_is_found_by_who_reads_it",
    ),
    promise(
        "reader-ends-at-damage",
        "never fewer records without a word",
        "promises::damage::every_flipped_bit_of_a_closed_log_is_found_or_harmless",
    ),
    promise(
        "view-ends-at-damage",
        "never fewer records without a word",
        "promises::damage::damage_to_what_a_read_only_handle_has_found_is_not_the_end_of_the_log",
    ),
    promise(
        "hint-believed",
        "a position is a hint, verified for its LSN",
        "promises::calls::a_position_whose_hint_is_wrong_is_resolved_by_lsn",
    ),
    promise(
        "length-believed",
        "8: no length is believed before it is bounded",
        "promises::hostile::no_read_asks_for_more_than_the_file_holds",
    ),
    // Recovery.
    programs("tail-shown-without-a-copy", "what an open has shown stays"),
    programs(
        "copy-sync-skipped",
        "the copy is durable before it is shown",
    ),
    programs(
        "copy-under-its-final-name",
        "6: complete before it has its name",
    ),
    programs(
        "copy-name-sync-skipped",
        "the copy's name is durable before it is shown",
    ),
    promise(
        "copy-without-a-stamp",
        "the copy is proven",
        "promises::recovery::what_recovery_has_copied_is_proven",
    ),
    programs(
        "torn-tail-cut-in-place",
        "7: no byte of an old segment is written",
    ),
    programs(
        "removed-before-the-copy",
        "a crash inside recovery loses nothing",
    ),
    promise(
        "removed-before-the-names-are-durable",
        "a crash inside recovery loses nothing",
        "promises::recovery::nothing_is_removed_before_what_replaces_it_has_a_durable_name",
    ),
    row(
        "superseded-removed-oldest-first",
        "what a crash leaves is a chain without a hole",
        "recovery_table::unclean::two_segments_of_which_nothing_is_proven",
    ),
    // Truncation.
    programs("cut-ignored", "what was truncated stays away"),
    promise(
        "first-lsn-taken-for-proven",
        "what was truncated stays away",
        "promises::recovery::a_cut_that_no_sync_has_covered_is_copied_before_it_counts",
    ),
    programs(
        "unlinked-before-the-cut-is-durable",
        "what was truncated stays away",
    ),
    programs(
        "segment-of-the-cut-unlinked",
        "a truncation takes nothing else with it",
    ),
    promise(
        "unlinked-newest-first",
        "what a crash leaves is a chain without a hole",
        "promises::truncation::retired_files_are_removed_oldest_first_and_after_the_cut_is_durable",
    ),
    // truncate_after, and repair.
    programs(
        "truncation-before-all-is-durable",
        "what stays is durable before a link says that it ends there",
    ),
    programs(
        "superseded-removed-before-the-truncation",
        "truncate_after is all or nothing",
    ),
    programs("cut-batch-not-ended", "2: a group ends its batches"),
    promise(
        "cut-segment-not-sealed",
        "a lost truncation is noticed",
        "promises::rewinding::a_lost_truncation_is_noticed",
    ),
    promise(
        "link-of-a-copy-not-checked",
        "a lost truncation is noticed",
        "promises::rewinding::a_lost_truncation_is_noticed",
    ),
    promise(
        "waiter-of-an-earlier-era-served",
        "who waits for a removed record is told",
        "promises::rewinding::who_waits_for_a_removed_record_is_told",
    ),
    promise(
        "reader-of-an-earlier-era-goes-on",
        "who has read a removed record is told",
        "promises::rewinding::a_reader_of_a_removed_record_is_told",
    ),
    promise(
        "replay-of-two-eras",
        "records that were removed are never mixed with others",
        "promises::replay::records_that_are_removed_between_two_segments_are_not_mixed_either",
    ),
    promise(
        "replay-error-of-any-segment",
        "the first error in the order of LSNs",
        "promises::replay::the_first_error_in_the_order_of_lsns_is_returned",
    ),
    promise(
        "lengths-on-the-way-believed",
        "damage is reported where it is",
        "promises::seeking::damage_to_a_length_on_the_way_is_reported_where_it_is",
    ),
    promise(
        "copy-name-not-synced-again",
        "what an open has shown stays",
        "promises::recovery::a_kill_between_the_rename_and_the_directory_sync_loses_nothing_that_a_later_open_has_shown",
    ),
    promise(
        "gap-passed-over",
        "never fewer records without a word",
        "promises::repair::a_recorded_gap_ends_a_reader_that_does_not_skip",
    ),
    promise(
        "damaged-files-not-kept",
        "a repair keeps every damaged byte",
        "promises::repair::a_repaired_log_opens_with_all_that_could_be_read",
    ),
    // The store.
    store(
        "kv-shown-before-it-is-durable",
        "under Always a get shows nothing that a crash could take back",
        "crash",
        "a_write_whose_sync_failed_is_not_shown",
    ),
    store(
        "kv-refused-before-it-is-durable",
        "under Always a refusal tells nothing that a crash could take back",
        "linear",
        "linear::refusals::a_refusal_tells_nothing_that_a_crash_could_take_back",
    ),
    store(
        "kv-index-changed-in-another-order",
        "the index changes in the order of the log",
        "order",
        "of_writes_at_the_same_time_the_one_with_the_highest_lsn_is_shown",
    ),
    store(
        "kv-condition-outside-the-lock",
        "of two swaps of one value one is refused",
        "linear",
        "linear::keys::each_key_is_a_register",
    ),
    store(
        "kv-batch-shown-in-parts",
        "a batch is visible whole or not at all",
        "linear",
        "linear::together::several_keys_are_one_register",
    ),
    store(
        "kv-view-not-kept",
        "a view shows one moment until it is dropped",
        "expiry",
        "keys_that_have_expired_are_reclaimed",
    ),
    store(
        "kv-snapshot-checksum-ignored",
        "a damaged snapshot is never used",
        "snapshots",
        "a_snapshot_that_is_damaged_anywhere_is_not_used",
    ),
    store(
        "kv-snapshot-not-synced",
        "the snapshot is durable before the log is cut",
        "snapshot_crash",
        "with_snapshots_on_call_under_always",
    ),
    store(
        "kv-snapshot-name-not-synced",
        "the snapshot's name is durable before the log is cut",
        "snapshot_crash",
        "with_snapshots_on_call_under_always",
    ),
    store(
        "kv-log-cut-before-the-snapshot-is-durable",
        "the snapshot is durable before the log is cut",
        "snapshot_crash",
        "with_snapshots_on_call_under_always",
    ),
    store(
        "kv-snapshot-ahead-of-the-log",
        "a snapshot shows nothing that its log can lose",
        "snapshot_crash",
        "with_snapshots_on_call_under_os",
    ),
    store(
        "kv-old-snapshot-removed-first",
        "the snapshot before stays until the new one was read back",
        "snapshot_crash",
        "with_snapshots_on_call_under_always",
    ),
    store(
        "kv-deletes-not-replayed",
        "a deleted key never comes back",
        "snapshot_crash",
        "with_snapshots_on_call_under_always",
    ),
    // The disk backend, seen by its system calls.
    calls(
        "disk-sync-does-nothing",
        "a sync reaches the disk",
        "always_is_one_write_and_one_sync_a_line",
    ),
    calls(
        "disk-directory-sync-does-nothing",
        "a sync of the directory reaches the disk",
        "a_rotation_syncs_the_directory_around_the_rename",
    ),
    calls(
        "disk-parent-not-synced",
        "each directory on the way is durable",
        "each_new_directory_and_each_new_name_is_synced_before_the_first_acknowledgement",
    ),
];
