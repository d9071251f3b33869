//! The key-value store: keys of 16 bytes in random order, values of 100.
//!
//! ```text
//! put      puts that wait for no disk, of new keys and of known ones, and durable puts
//! get      single keys at random
//! scan     all pairs in order
//! open     from the log alone, and from a snapshot: each a process of its own
//! pause    puts while a snapshot is written
//! ```
//!
//! Everything has 200,000 keys in the short set; a million and ten million in the full one (a pause only a million). Opening has a
//! million in the short set too.

mod get;
mod open_store;
mod pause;
mod put;
mod scan;

use crate::workload::Workload;

pub(super) const PUT: Workload = Workload {
    name: "kv-put",
    run: put::buffered,
};
pub(super) const DURABLE: Workload = Workload {
    name: "kv-put-durable",
    run: put::durable,
};
pub(super) const GET: Workload = Workload {
    name: "kv-get",
    run: get::run,
};
pub(super) const SCAN: Workload = Workload {
    name: "kv-scan",
    run: scan::run,
};
pub(super) const OPEN: Workload = Workload {
    name: "kv-open",
    run: open_store::run,
};
pub(super) const PAUSE: Workload = Workload {
    name: "kv-pause",
    run: pause::run,
};
