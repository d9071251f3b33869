//! Mistakes of a repair that writes damaged segments anew in their places.

use super::{Variant, promise};

pub(super) const VARIANTS: &[Variant] = &[
    promise(
        "replacement-named-before-it-is-durable",
        "a crash inside a repair loses nothing",
        "promises::in_place::a_crash_at_every_change_of_a_repair_in_place",
    ),
    promise(
        "damaged-segment-removed-before-the-rename",
        "one rename commits the repair of a segment",
        "promises::in_place::a_crash_at_every_change_of_a_repair_in_place",
    ),
    promise(
        "misnamed-segment-replaced-in-place",
        "a crash inside a repair loses nothing",
        "promises::in_place::a_crash_inside_a_repair_of_files_with_swapped_names_loses_nothing",
    ),
    promise(
        "end-of-a-replacement-taken-from-the-link",
        "a segment that was written anew is read to its end",
        "promises::in_place::bad_bytes_cost_their_records_and_their_segments",
    ),
    promise(
        "repair-not-verified",
        "a repaired log is whole",
        "promises::control_damage::a_repaired_log_is_whole_whatever_was_hidden",
    ),
    promise(
        "witness-after-the-link-ignored",
        "damage to durable data is never called a torn end",
        "promises::damage::a_footer_after_the_end_that_a_link_names_is_a_proof",
    ),
];
