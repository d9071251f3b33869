//! "Common Pitfalls".

use std::sync::Arc;

use anyhow::Result;
use wal_core::{Error, FsyncPolicy, Record, Wal, WalConfig};
use wal_io::FaultStorage;

use super::support::{Log, read_all, records};

/// "1. Not Batching Syncs": slow, but right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_batching_syncs() -> Result<()> {
    let log = Log::open(WalConfig::default()).await?;
    let wal = &log.wal;
    let records = records(20);

    // Bad: Sync after every write
    for record in records {
        wal.append(&record).await?;
        wal.sync().await?; // 2-3ms penalty each time
    }

    assert_eq!(wal.durable_lsn().get(), 20);
    assert_eq!(log.into_records().await?.len(), 20);
    Ok(())
}

/// "2. Segments Too Small": its `max_segment_size: 1024 * 1024` is the smallest that we take. It works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_too_small() -> Result<()> {
    let config = WalConfig {
        max_segment_size: 1024 * 1024,
        ..WalConfig::default()
    };
    let log = Log::open(config).await?;
    for _ in 0..100 {
        log.wal.append(&Record::data(vec![7; 100_000])).await?;
    }
    let stats = log.wal.stats();
    assert!(stats.rotations >= 10, "{stats:?}");
    let read = log.into_records().await?;
    assert_eq!(read.len(), 100);
    Ok(())
}

/// "3. Ignoring Disk Speed": its commands measure the disk; the log's own counters do as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ignoring_disk_speed() -> Result<()> {
    let config = WalConfig {
        fsync_policy: FsyncPolicy::Always,
        ..WalConfig::default()
    };
    let log = Log::open(config).await?;
    for record in records(50) {
        log.wal.append(&record).await?;
    }
    let stats = log.wal.stats();
    assert!(stats.syncs >= 50, "{stats:?}");
    let syncs = u32::try_from(stats.syncs)?;
    println!("one sync: {:?}", stats.sync_time / syncs);
    log.wal.close().await?;
    Ok(())
}

/// "4. Not Pre-allocating": with `preallocate: false` a full disk is an error before anything is accepted, never corruption.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_pre_allocating() -> Result<()> {
    for preallocate in [false, true] {
        let disk = FaultStorage::new();
        disk.set_capacity(Some(3 << 20));
        let config = WalConfig {
            max_segment_size: 2 << 20,
            preallocate,
            ..WalConfig::default()
        };
        let open = || {
            Wal::builder("log")
                .storage(Arc::new(disk.clone()))
                .config(config.clone())
                .open()
        };
        let wal = open().await?;
        let record = Record::data(vec![7; 10_000]);
        let mut accepted = 0;
        let full = loop {
            match wal.append(&record).await {
                Ok(position) => {
                    accepted += 1;
                    assert_eq!(position.lsn.get(), accepted);
                }
                Err(error) => break error,
            }
        };
        assert!(matches!(full, Error::NoSpace { .. }), "{full}");
        wal.sync().await?;
        assert_eq!(read_all(&wal).await?.len() as u64, accepted);

        disk.set_capacity(None);
        wal.append(&record).await?;
        wal.close().await?;
        let wal = open().await?;
        assert!(wal.recovery_report().clean);
        assert_eq!(read_all(&wal).await?.len() as u64, accepted + 1);
    }
    Ok(())
}
