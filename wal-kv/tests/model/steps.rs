//! What a random program does.

use std::ops::Range;
use std::time::Duration;

use proptest::prelude::*;
use wal_kv::{FsyncPolicy, Snapshots};

use crate::common::reluctant::Snapshot;

pub(super) const KEYS: u8 = 24;
/// Every second step on a key is on one of these: the empty one, "a", "b" and "c".
pub(super) const HOT: Range<u8> = 2..6;

/// Keys of several lengths, the empty one too, some of them prefixes of others.
pub(super) fn key(n: u8) -> Vec<u8> {
    vec![b'a' + n % 3; usize::from(n / 3)]
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Put(u8, Vec<u8>),
    PutFor(u8, Vec<u8>, u64),
    Delete(u8),
    Batch(Vec<(u8, Option<Vec<u8>>)>),
    /// So many puts of one key, of values of this length.
    Burst(u8, u8, usize),
    /// Puts if the key is absent, present, or has the value that the model says (or does not).
    PutIf(u8, Vec<u8>, u8),
    DeleteIf(u8, u8),
    Swap(u8, bool, Option<Vec<u8>>),
    /// So many milliseconds pass.
    Sleep(u64),
    /// So many seconds pass, with a write in each.
    Run(u8),
    Suspend(u64),
    /// Sets the wall clock ahead, or back, by milliseconds.
    MoveWall(i64),
    Sync,
    Snapshot,
    OpenView,
    /// One of those that are open.
    CloseView(usize),
    /// A scan of everything that stays open.
    OpenScan,
    /// Reads some pairs of an open scan, from its front or its back.
    Advance(usize, u8, bool),
    CloseScan(usize),
    Scan(u8, u8, bool),
    Prefix(u8),
    /// From now on this happens to snapshots.
    LetSnapshotsBe(Snapshot),
    /// The disk has this many bytes left; without a number, it has no limit.
    Room(Option<u64>),
    /// Closes the store, or only drops it.
    Reopen {
        close: bool,
    },
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let key = || prop_oneof![HOT, 0..KEYS];
    let value = || proptest::collection::vec(any::<u8>(), 0..300);
    let change = (key(), proptest::option::of(value()));
    prop_oneof![
        8 => (key(), value()).prop_map(|(key, value)| Step::Put(key, value)),
        4 => (key(), value(), prop_oneof![0..50_u64, 0..40_000_u64]).prop_map(|(key, value, ms)| Step::PutFor(key, value, ms)),
        4 => key().prop_map(Step::Delete),
        3 => proptest::collection::vec(change, 0..6).prop_map(Step::Batch),
        2 => (HOT, 2..30_u8, 0..300_usize).prop_map(|(key, count, len)| Step::Burst(key, count, len)),
        3 => (key(), value(), 0..4_u8).prop_map(|(key, value, how)| Step::PutIf(key, value, how)),
        2 => (key(), 0..4_u8).prop_map(|(key, how)| Step::DeleteIf(key, how)),
        2 => (key(), any::<bool>(), proptest::option::of(value())).prop_map(|(key, right, new)| Step::Swap(key, right, new)),
        3 => (0..30_u64).prop_map(Step::Sleep),
        1 => (1..13_u8).prop_map(Step::Run),
        1 => (0..20_000_u64).prop_map(Step::Suspend),
        1 => (-40_000..40_000_i64).prop_map(Step::MoveWall),
        1 => (-2..3_i64).prop_map(|days| Step::MoveWall(days * 86_400_000)),
        1 => Just(Step::Sync),
        1 => Just(Step::Snapshot),
        3 => Just(Step::OpenView),
        2 => any::<usize>().prop_map(Step::CloseView),
        2 => Just(Step::OpenScan),
        4 => (any::<usize>(), 1..8_u8, any::<bool>()).prop_map(|(which, pairs, back)| Step::Advance(which, pairs, back)),
        1 => any::<usize>().prop_map(Step::CloseScan),
        2 => (key(), key(), any::<bool>()).prop_map(|(from, to, closed)| Step::Scan(from, to, closed)),
        1 => key().prop_map(Step::Prefix),
        1 => prop_oneof![2 => Just(Snapshot::Refused), 1 => Just(Snapshot::Written)].prop_map(Step::LetSnapshotsBe),
        1 => proptest::option::of(0..40_000_u64).prop_map(Step::Room),
        2 => any::<bool>().prop_map(|close| Step::Reopen { close }),
    ]
}

pub(super) fn policy() -> impl Strategy<Value = FsyncPolicy> {
    prop_oneof![
        Just(FsyncPolicy::Always),
        Just(FsyncPolicy::Batch(Duration::from_millis(5))),
        Just(FsyncPolicy::Os),
    ]
}

pub(super) fn snapshots() -> impl Strategy<Value = Snapshots> {
    prop_oneof![
        1 => Just(Snapshots::OnCall),
        3 => Just(Snapshots::Automatic { percent: 100 }),
        1 => Just(Snapshots::Automatic { percent: 20 }),
    ]
}

/// Most bytes of memory for live data, and for what views show.
pub(super) type Limits = (Option<u64>, Option<u64>);

pub(super) fn limits() -> impl Strategy<Value = Limits> {
    let live = proptest::option::of(500..6000_u64);
    let views = proptest::option::of(300..2000_u64);
    (live, views)
}
