//! What a store keeps in memory, versions for views, deletes and keys that have expired, and its limit.

use super::{Variant, store};

pub(super) const VARIANTS: &[Variant] = &[
    store(
        "kv-kept-though-no-view-shows-it",
        "only versions that an open view shows are kept",
        "views",
        "a_hot_key_under_a_view_keeps_the_version_that_the_view_shows_and_no_other",
    ),
    store(
        "kv-view-closes-its-neighbours",
        "a view shows one moment until it is dropped",
        "views",
        "each_view_keeps_what_only_it_shows_until_it_closes",
    ),
    store(
        "kv-deletes-stay-in-memory",
        "a delete that everyone sees leaves nothing in memory",
        "views",
        "each_view_keeps_what_only_it_shows_until_it_closes",
    ),
    store(
        "kv-sweep-waits-for-views",
        "a view does not hold up the sweep",
        "views",
        "expired_keys_that_a_view_shows_an_older_value_of_do_not_hold_up_the_sweep",
    ),
    store(
        "kv-shown-before-it-is-applied",
        "a batch is visible whole or not at all",
        "wal_kv",
        "index::tests::a_batch_that_is_durable_is_shown_when_all_of_it_is_applied",
    ),
    store(
        "kv-batch-counts-each-mention",
        "the limit of memory is on what a batch leaves",
        "memory",
        "a_batch_that_names_a_key_a_hundred_times_counts_it_once",
    ),
    store(
        "kv-expired-keys-make-no-room",
        "what has expired does not keep a write out",
        "memory",
        "keys_that_have_expired_make_room_for_a_write_before_they_are_swept",
    ),
];
