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

use wal_bench::peer::{Entrant, Peer, Reached};

/// Each in every way of use.
pub(crate) fn all() -> Vec<Entrant<dyn Peer>> {
    let open_wal = env!("VERSION_OPEN_WAL");
    let okaywal = env!("VERSION_OKAYWAL");
    let commitlog = env!("VERSION_COMMITLOG");
    let fjall = env!("VERSION_FJALL");
    let durable = open_wal::OpenWal(Reached::Durable);
    let buffered = open_wal::OpenWal(Reached::Buffered);
    let synced = okaywal::OkaywalBuffered {
        flush_commits: true,
    };
    let kept = okaywal::OkaywalBuffered {
        flush_commits: false,
    };
    let tuned = okaywal::Okaywal { tuned: true };
    let default = okaywal::Okaywal { tuned: false };
    let plain = commitlog::Commitlog(Reached::Buffered);
    let fsync = commitlog::Commitlog(Reached::Durable);
    let automatic = fjall::FjallJournal { manual: false };
    let manual = fjall::FjallJournal { manual: true };
    vec![
        log("wal-db", env!("VERSION_WAL_DB"), wal_db::WalDb),
        log("open-wal", open_wal, durable),
        log("open-wal (flush syncs)", open_wal, buffered),
        log("open-wal-group", open_wal, open_wal_group::OpenWalGroup),
        log("okaywal", okaywal, tuned),
        log("okaywal-default", okaywal, default),
        log("okaywal (flush syncs)", okaywal, synced),
        log("okaywal (keeps 256 KiB)", okaywal, kept),
        log(
            "raft-engine",
            env!("VERSION_RAFT_ENGINE"),
            raft_engine::RaftEngine,
        ),
        log("walrus", env!("VERSION_WALRUS_RUST"), walrus::WalrusRust),
        log("commitlog", commitlog, plain),
        log("commitlog-fsync", commitlog, fsync),
        log("fjall", fjall, automatic),
        log("fjall-manual", fjall, manual),
        #[cfg(feature = "rocksdb")]
        log("rocksdb", env!("VERSION_ROCKSDB"), rocksdb::RocksDbWal),
    ]
}

fn log(name: &'static str, version: &'static str, peer: impl Peer + 'static) -> Entrant<dyn Peer> {
    Entrant {
        name,
        version,
        peer: Box::new(peer),
    }
}
