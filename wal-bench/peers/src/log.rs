//! The logs, one file each. Deliberately absent: any work on the payloads. A row shows what the peer does, and a lock or a copy
//! of ours only where the peer cannot be shared without.

mod commitlog;
mod fjall;
mod okaywal;
mod okaywal_replay;
mod open_wal;
mod open_wal_group;
mod raft_engine;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod wal_db;
mod walrus;

use wal_bench::peer::Peer;

/// Each in every way of use.
pub(crate) fn all() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(wal_db::WalDb),
        Box::new(open_wal::OpenWal),
        Box::new(open_wal::OpenWalBuffered),
        Box::new(open_wal_group::OpenWalGroup),
        Box::new(okaywal::Okaywal::TUNED),
        Box::new(okaywal::Okaywal::DEFAULT),
        Box::new(okaywal::OkaywalBuffered::SYNCED),
        Box::new(okaywal::OkaywalBuffered::KEPT),
        Box::new(raft_engine::RaftEngine),
        Box::new(walrus::WalrusRust),
        Box::new(commitlog::Commitlog::PLAIN),
        Box::new(commitlog::Commitlog::FSYNC),
        Box::new(fjall::FjallJournal::PLAIN),
        Box::new(fjall::FjallJournal::MANUAL),
        #[cfg(feature = "rocksdb")]
        Box::new(rocksdb::RocksDbWal),
    ]
}
