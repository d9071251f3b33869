//! Mistakes with the control state: a term and consumers.

use super::{Variant, programs, promise};

pub(super) const VARIANTS: &[Variant] = &[
    promise(
        "consumers-not-moved-by-a-truncation",
        "a truncation moves the consumers of removed records back",
        "promises::control::a_truncation_of_the_newest_records_moves_consumers_back_once",
    ),
    promise(
        "control-state-lost-by-a-truncation",
        "no truncation takes the control state away",
        "promises::control::a_truncation_of_the_newest_records_moves_consumers_back_once",
    ),
    promise(
        "control-acknowledged-before-it-is-durable",
        "a change is durable when the policy says so",
        "promises::control::a_change_is_durable_when_the_policy_says_so",
    ),
    programs(
        "control-table-without-the-latest-changes",
        "every segment begins with all of the control state",
    ),
    promise(
        "unproven-control-state-taken-for-proven",
        "what an open has shown survives the next crash",
        "promises::control::what_an_open_has_shown_survives_the_next_power_loss",
    ),
    promise(
        "lost-control-state-not-marked",
        "damage brings no older control state back in silence",
        "promises::control_damage::damage_never_brings_an_older_state_back_in_silence",
    ),
    promise(
        "retention-without-the-control-state",
        "nothing is removed while the newest control state cannot be read",
        "promises::control_damage::damage_never_brings_an_older_state_back_in_silence",
    ),
    promise(
        "only-control-table-removed",
        "the only durable control state stays",
        "promises::control_damage::a_closed_log_is_truncated_no_further_than_its_newest_durable_table",
    ),
    promise(
        "segments-too-short-for-the-control-state",
        "segments have room for the control state",
        "promises::control::segments_become_long_enough_for_the_control_state_that_is_there",
    ),
    promise(
        "stamp-proves-records-only",
        "a stamp proves what was written before it",
        "promises::control::an_idle_log_proves_its_last_change",
    ),
];
