//! The key-value stores, one file each. All have a cache that holds the whole data set of the workloads, as wal-kv does.

mod common;
mod fjall;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod sled;
#[cfg(feature = "sqlite")]
mod sqlite;

use wal_bench::peer::PeerStore;

/// Each in every way of use.
pub(crate) fn all() -> Vec<Box<dyn PeerStore>> {
    vec![
        Box::new(fjall::Fjall),
        Box::new(redb::Redb),
        Box::new(sled::Sled::PLAIN),
        Box::new(sled::Sled::FSYNC),
        #[cfg(feature = "sqlite")]
        Box::new(sqlite::Sqlite),
        #[cfg(feature = "rocksdb")]
        Box::new(rocksdb::RocksDb),
    ]
}
