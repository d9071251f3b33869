//! The guide's key-value store: writes go to the log, reads are answered from memory, and all is there after reopening.
//!
//! `cargo run -p wal-kv --example kv_store -- [DIRECTORY]`; without a directory it uses a temporary one.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use wal_kv::{FsyncPolicy, KvConfig, KvStore};

const USERS: u32 = 10_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let dir = std::env::args_os()
        .nth(1)
        .map_or_else(|| temporary.path().join("store"), PathBuf::from);
    // `Always` would sync each put: right where no write may be lost, and as fast as the disk's syncs.
    let config = KvConfig {
        fsync_policy: FsyncPolicy::Batch(Duration::from_millis(5)),
        ..KvConfig::default()
    };

    let store = KvStore::open(&dir, config.clone()).await?;
    println!("opened with {} keys", store.len());

    let begun = Instant::now();
    for id in 0..USERS {
        let (key, name) = (format!("user:{id}"), format!("name of user {id}"));
        store.put(key, name).await?;
    }
    // Everything before this line now survives a power loss.
    store.sync().await?;
    println!("{USERS} puts and a sync took {:?}", begun.elapsed());

    store.delete("user:7").await?;
    let session = Duration::from_secs(3600);
    store.put_with_ttl("session:1", "user:1", session).await?;

    let begun = Instant::now();
    let found = (0..USERS).filter(|id| store.get(format!("user:{id}").as_bytes()).is_some());
    println!("{} gets found, in {:?}", found.count(), begun.elapsed());
    let begun = Instant::now();
    let last = store.scan_prefix(b"user:").next_back();
    let last = last.context("there are users")?;
    println!(
        "the last user is {:?}, in {:?}",
        String::from_utf8_lossy(last.key()),
        begun.elapsed()
    );

    // The log is cut: the next opening reads the snapshot, and what was written since.
    let snapshot = store.snapshot().await?;
    println!(
        "a snapshot of {} pairs has {} bytes",
        snapshot.pairs, snapshot.bytes
    );
    store.put("user:42", "another name of user 42").await?;
    store.close().await?;

    let begun = Instant::now();
    let store = KvStore::open(&dir, config).await?;
    println!(
        "reopened with {} keys in {:?}",
        store.len(),
        begun.elapsed()
    );
    let name = store.get(b"user:42").context("user 42 is there")?;
    println!("user 42 is {:?}", String::from_utf8_lossy(&name));
    ensure!(!store.contains_key(b"user:7"), "user 7 was deleted");
    ensure!(
        store.contains_key(b"session:1"),
        "the session lasts an hour"
    );
    store.close().await?;
    Ok(())
}
