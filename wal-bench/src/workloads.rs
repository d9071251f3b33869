//! The workloads, one file each.
//!
//! To add one: a file with its `run`, and a line in [`ALL`]. What a size means for it stands at the head of its file.

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
pub(crate) const ALL: &[Workload] = &[
    Workload::new("append-buffered", append_buffered::run),
    Workload::new("append-durable", append_durable::run),
    Workload::new("batch-durable", batch_durable::run),
    Workload::new("replay", replay::run),
    Workload::new("parallel", parallel::run),
    Workload::new("point-read", point_read::run),
    Workload::new("lag", lag::run),
    Workload::new("open", open::run),
    Workload::new("rotation", rotation::run),
    Workload::new("compression", compression::run),
    Workload::new("preallocate", preallocate::run),
    Workload::new("footprint", footprint::run),
    Workload::new("kv-put", kv::put::buffered),
    Workload::new("kv-put-durable", kv::put::durable),
    Workload::new("kv-get", kv::get::run),
    Workload::new("kv-scan", kv::scan::run),
    Workload::new("kv-open", kv::open_store::run),
    Workload::new("kv-pause", kv::pause::run),
];

/// What can be asked for: their names, and those of the groups.
pub(crate) fn names() -> Vec<&'static str> {
    let all = ALL.iter().map(|workload| workload.name);
    all.chain(GROUPS.iter().copied()).collect()
}
