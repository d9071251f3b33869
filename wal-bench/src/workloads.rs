//! The workloads, one file each.
//!
//! To add one: a file with a `WORKLOAD`, and its line in [`ALL`]. What a size means for it stands at the head of its file.

mod append_buffered;
mod append_durable;
mod batch_durable;
mod compression;
mod footprint;
mod kv;
mod lag;
mod open;
mod parallel;
mod point_read;
mod preallocate;
mod replay;
mod rotation;

use crate::workload::{GROUPS, Workload};

/// All of them, in the order in which they are run.
pub(crate) const ALL: &[&Workload] = &[
    &append_buffered::WORKLOAD,
    &append_durable::WORKLOAD,
    &batch_durable::WORKLOAD,
    &replay::WORKLOAD,
    &parallel::WORKLOAD,
    &point_read::WORKLOAD,
    &lag::WORKLOAD,
    &open::WORKLOAD,
    &rotation::WORKLOAD,
    &compression::WORKLOAD,
    &preallocate::WORKLOAD,
    &footprint::WORKLOAD,
    &kv::PUT,
    &kv::DURABLE,
    &kv::GET,
    &kv::SCAN,
    &kv::OPEN,
    &kv::PAUSE,
];

/// What can be asked for: their names, and those of the groups.
pub(crate) fn names() -> Vec<&'static str> {
    let all = ALL.iter().map(|workload| workload.name);
    all.chain(GROUPS.iter().copied()).collect()
}
