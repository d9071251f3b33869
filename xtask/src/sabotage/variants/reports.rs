//! Mistakes in reports and counts, and in the sizes that an opener takes from the log.

use super::{Variant, promise, store, test};

pub(super) const VARIANTS: &[Variant] = &[
    promise(
        "verified-once",
        "verification works beside a writer",
        "promises::beside::verification_beside_a_truncation_finds_no_damage",
    ),
    promise(
        "sizes-of-the-log-not-kept",
        "a log keeps its segment size",
        "promises::sizes::a_log_keeps_its_segment_size_record_limit_and_padding",
    ),
    promise(
        "node-ids-not-compared",
        "a log of another node is reported",
        "promises::sizes::a_log_opened_with_another_node_id_is_reported",
    ),
    promise(
        "recorded-gaps-not-counted",
        "records are counted that exist, and no others",
        "promises::repair::a_repaired_log_opens_with_all_that_could_be_read",
    ),
    store(
        "kv-marker-not-missed",
        "a store whose marker was moved away is not called a plain log",
        "errors",
        "a_store_whose_marker_was_moved_away_says_so_and_opens_when_it_is_back",
    ),
    test(
        "batch-counted-in-part",
        "an error says how large the batch is",
        "wal-core",
        "bad_input",
        "bad_input::settings::a_batch_above_the_limit_reports_its_whole_size",
    ),
    test(
        "look-taken-for-a-holder",
        "who looks at a lock keeps nobody out",
        "wal-io",
        "disk",
        "who_looks_at_a_lock_stands_in_nobodys_way",
    ),
    promise(
        "repair-copies-to-one-segment",
        "no copy of a repair is larger than the log's segments",
        "promises::repair::a_repaired_log_opens_with_all_that_could_be_read",
    ),
    promise(
        "undamaged-segments-quarantined",
        "a repair puts aside what is damaged, and nothing else",
        "promises::repair::a_repaired_log_opens_with_all_that_could_be_read",
    ),
    promise(
        "repaired-segments-named-oldest-first",
        "a crash inside a repair loses nothing",
        "promises::repair::a_crash_at_every_change_of_a_repair",
    ),
    promise(
        "repair-begun-without-space",
        "a repair says how much space it needs before it begins",
        "promises::repair::a_repair_without_space_for_all_of_it_is_not_begun",
    ),
];
