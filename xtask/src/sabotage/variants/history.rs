//! Mistakes in what readers are told about truncations, the log's end and LSNs, and in their number of open files.

use super::{Variant, promise};

pub(super) const VARIANTS: &[Variant] = &[
    promise(
        "read-from-beyond-the-end-accepted",
        "who asks for what is not there is told",
        "promises::history::reading_from_beyond_the_next_lsn_is_an_error",
    ),
    promise(
        "end-of-an-earlier-call",
        "the end is the one at the time of the call",
        "promises::history::the_end_is_the_one_at_the_time_of_the_call",
    ),
    promise(
        "reader-ends-at-io-error",
        "a reader keeps its place when the system has an error",
        "promises::history::a_reader_keeps_its_place_when_the_system_has_an_error",
    ),
    promise(
        "read-only-handle-does-not-follow",
        "a read-only handle follows the log",
        "promises::history::a_read_only_handle_follows_the_log",
    ),
    promise(
        "bound-of-a-reader-ignored",
        "a reader can stop at what is durable",
        "promises::history::a_reader_stops_at_what_is_known_durable",
    ),
    promise(
        "awaited-by-lsn-alone",
        "a removed record is told from the one that has its LSN",
        "promises::history::wait_durable_recognises_a_removed_record_whose_lsn_was_given_again",
    ),
    promise(
        "history-joined-by-ids-alone",
        "nobody reads across a truncation without being told",
        "promises::history::a_reader_is_told_where_nothing_leads_back_to_what_it_has_read",
    ),
    promise(
        "history-joined-where-none-is-proven",
        "nobody reads across a truncation without being told",
        "promises::history::readers_of_other_handles_are_told_of_every_truncation",
    ),
    promise(
        "unknown-history-taken-for-the-same",
        "nobody reads across a truncation without being told",
        "promises::history::readers_of_other_handles_are_told_of_every_truncation",
    ),
    promise(
        "cursor-by-its-lsn-alone",
        "a cursor is valid as long as its record is in the log",
        "promises::cursors::a_cursor_after_a_truncation_is_told_what_stayed",
    ),
    promise(
        "unknown-group-taken-for-damage",
        "a reader refuses what it does not know, by name",
        "promises::version_2::a_group_that_a_newer_program_wrote_is_skipped_or_refused_by_its_kind",
    ),
    promise(
        "a-file-for-each-read",
        "readers share sixteen files",
        "promises::descriptors::readers_of_many_segments_share_sixteen_files",
    ),
    promise(
        "removed-file-kept-open",
        "the file of a removed segment is closed at once",
        "promises::descriptors::the_files_of_removed_segments_are_closed_at_once",
    ),
    promise(
        "lsns-without-an-end",
        "two records never have the same LSN",
        "promises::lsns::no_lsn_is_given_above_the_highest_one",
    ),
    promise(
        "history-not-renewed",
        "an LSN that is given again has another history",
        "promises::version_2::an_lsn_that_is_given_again_has_another_history",
    ),
];
