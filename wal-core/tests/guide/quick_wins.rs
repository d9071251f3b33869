//! "Quick Wins".

use std::time::Duration;

use anyhow::Result;
use wal_core::{Compression, FsyncPolicy, Record, WalConfig};

use super::support::{Log, document, records};

/// "1. Use Batched Fsync". Beyond the snippet: a record is synced though nothing more is appended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn use_batched_fsync() -> Result<()> {
    let config = WalConfig {
        fsync_policy: FsyncPolicy::Batch(Duration::from_millis(5)),
        ..Default::default()
    };

    assert_eq!(config, WalConfig::default());
    let log = Log::open(config).await?;
    let position = log.wal.append(&Record::put("key", "value")).await?;
    tokio::time::timeout(Duration::from_secs(30), async {
        while log.wal.durable_lsn() < position.lsn {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await?;
    assert_eq!(log.into_records().await?.len(), 1);
    Ok(())
}

/// "2. Batch Your Writes". Changed: a scope for each of the two loops, since each of them consumes `records`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_your_writes() -> Result<()> {
    let log = Log::open(WalConfig::default()).await?;
    let wal = &log.wal;

    {
        let records = records(20);
        // Bad: One at a time
        for record in records {
            wal.append(&record).await?;
            wal.sync().await?; // 2-3ms each
        }
    }
    let bad = wal.stats().syncs;
    assert!(bad >= 20);
    assert_eq!(wal.durable_lsn(), wal.last_lsn());

    {
        let records = records(20);
        // Good: Batch them
        for record in records {
            wal.append(&record).await?;
        }
        wal.sync().await?; // Single 2-3ms for all
    }
    assert!(wal.stats().syncs - bad < 20);
    assert_eq!(wal.durable_lsn(), wal.last_lsn());

    let read = log.into_records().await?;
    assert_eq!(read, [records(20), records(20)].concat());
    Ok(())
}

/// "3. Increase Segment Size".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increase_segment_size() -> Result<()> {
    let config = WalConfig {
        max_segment_size: 512 * 1024 * 1024, // 512 MB (default is 128 MB)
        ..Default::default()
    };

    assert_eq!(WalConfig::default().max_segment_size, 128 * 1024 * 1024);
    let log = Log::open(config).await?;
    for record in records(100) {
        log.wal.append(&record).await?;
    }
    assert_eq!(log.wal.list_segments().await?.len(), 1);
    assert_eq!(log.into_records().await?, records(100));
    Ok(())
}

/// "4. Use Compression for Large Records".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn use_compression_for_large_records() -> Result<()> {
    let log = Log::open(WalConfig::default()).await?;
    let wal = &log.wal;
    let (key, value) = (b"key", document(100_000));

    {
        let value = &value;
        let record = Record::put(key, value).with_compression(Compression::Lz4);

        wal.append(&record).await?;
    }

    let stored = wal.stats().bytes_appended;
    assert!(stored < 10_000, "{stored} bytes");
    let read = log.into_records().await?;
    assert_eq!(read[0].key, &key[..]);
    assert_eq!(read[0].value, value);
    assert_eq!(read[0].compression(), Compression::Lz4);
    Ok(())
}
