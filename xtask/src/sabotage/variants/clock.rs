//! Mistakes about time: clocks that are set, and keys that expire.

use super::{Variant, promise, store};

/// By one of the jumps that happen.
const fn jump(name: &'static str, breaks: &'static str, by: &'static str) -> Variant {
    store(name, breaks, "jumps", by)
}

pub(super) const VARIANTS: &[Variant] = &[
    promise(
        "clock-set-back-unsaid",
        "times in the log go back only where a group says so",
        "promises::version_2::times_go_back_only_where_the_clock_was_set_back_and_a_group_says_so",
    ),
    promise(
        "group-dated-when-it-begins",
        "no record is later than its group",
        "promises::times::a_time_is_found_whatever_the_clocks_did",
    ),
    promise(
        "lookup-by-least-time",
        "a lookup skips nothing that was appended at or after the time",
        "promises::times::a_time_is_found_whatever_the_clocks_did",
    ),
    jump(
        "kv-time-goes-back",
        "the clock going back revives nothing",
        "jumps::cases::a_step_back_of_the_wall_clock_revives_nothing_and_ends_nothing",
    ),
    store(
        "kv-time-mark-not-read",
        "the clock going back before an open revives nothing",
        "expiry",
        "a_clock_that_is_set_back_before_reopening_revives_nothing",
    ),
    jump(
        "kv-written-keys-go-by-the-wall-clock",
        "a jump of the wall clock does not touch the keys of the session",
        "jumps::cases::a_jump_of_an_hour_that_stays_is_followed_by_old_keys_and_not_by_new_ones",
    ),
    jump(
        "kv-suspend-not-counted",
        "a suspend counts",
        "jumps::cases::a_suspend_of_eight_hours_counts",
    ),
    jump(
        "kv-time-to-live-rounded-down",
        "a time to live is never shorter than was asked for",
        "jumps::cases::a_time_to_live_is_never_shorter_than_was_asked_for",
    ),
    jump(
        "jump-believed-at-once",
        "a moment in the year 2036 changes nothing",
        "jumps::cases::a_wall_clock_that_is_years_ahead_for_a_moment_ends_no_key_and_keeps_none",
    ),
    jump(
        "kv-correction-not-synced",
        "a correction that is counted survives a crash",
        "jumps::cases::a_correction_survives_a_crash_once_it_is_counted",
    ),
    jump(
        "kv-correction-not-replayed",
        "a correction moves the expiries of its session for later opens",
        "jumps::cases::a_jump_of_an_hour_that_stays_is_followed_by_old_keys_and_not_by_new_ones",
    ),
    jump(
        "kv-correction-revives",
        "what had expired before a step back stays expired",
        "jumps::cases::a_step_back_of_the_wall_clock_revives_nothing_and_ends_nothing",
    ),
    jump(
        "kv-correction-keeps-the-highest-time",
        "after a step back the store opens by the wall clock",
        "jumps::cases::a_step_back_of_the_wall_clock_revives_nothing_and_ends_nothing",
    ),
    jump(
        "kv-snapshot-by-two-times",
        "a snapshot goes by the time of its moment",
        "jumps::meanwhile::a_snapshot_goes_by_one_time_whenever_the_time_is_corrected_meanwhile",
    ),
    store(
        "kv-written-as-before-the-correction",
        "a record goes by the time that holds at its place in the log",
        "wal_kv",
        "store::clock::tests::a_write_that_was_prepared_before_a_correction_is_prepared_again",
    ),
];
