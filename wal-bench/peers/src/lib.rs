#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod lanes;
mod lock;
mod log;
mod store;

use wal_bench::peer::{Entrant, Field, Peer, PeerStore};

/// Everybody who was built in.
#[must_use]
pub fn field() -> Field {
    Field {
        logs: logs(),
        stores: stores(),
    }
}

/// The logs, and the stores that serve as one.
#[must_use]
pub fn logs() -> Vec<Entrant<dyn Peer>> {
    log::all()
}

/// The key-value stores.
#[must_use]
pub fn stores() -> Vec<Entrant<dyn PeerStore>> {
    store::all()
}
