//! The key-value stores, one file each. All have a cache that holds the whole data set of the workloads, as wal-kv does.

mod common;
mod fjall;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod sled;
#[cfg(feature = "sqlite")]
mod sqlite;

use wal_bench::peer::{Entrant, PeerStore, Reached};

/// Each in every way of use.
pub(crate) fn all() -> Vec<Entrant<dyn PeerStore>> {
    let sled = env!("VERSION_SLED");
    vec![
        store("fjall", env!("VERSION_FJALL"), fjall::Fjall),
        store("redb", env!("VERSION_REDB"), redb::Redb),
        store("sled", sled, sled::Sled(Reached::Buffered)),
        store("sled-fsync", sled, sled::Sled(Reached::Durable)),
        #[cfg(feature = "sqlite")]
        store("sqlite", env!("VERSION_RUSQLITE"), sqlite::Sqlite),
        #[cfg(feature = "rocksdb")]
        store("rocksdb", env!("VERSION_ROCKSDB"), rocksdb::RocksDb),
    ]
}

fn store(
    name: &'static str,
    version: &'static str,
    peer: impl PeerStore + 'static,
) -> Entrant<dyn PeerStore> {
    Entrant {
        name,
        version,
        peer: Box::new(peer),
    }
}
