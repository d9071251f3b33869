//! "Configuration Parameters": no snippets, but tables whose every value has to work.

use std::time::Duration;

use anyhow::Result;
use wal_core::{Error, FsyncPolicy, Wal, WalConfig};

use super::support::{Log, records};

async fn works(config: WalConfig) -> Result<()> {
    let log = Log::open(config).await?;
    for record in records(10) {
        log.wal.append(&record).await?;
    }
    log.wal.sync().await?;
    assert_eq!(log.wal.durable_lsn().get(), 10);
    assert_eq!(log.into_records().await?, records(10));
    Ok(())
}

/// "`max_segment_size`".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn max_segment_size() -> Result<()> {
    let default = WalConfig::default();
    assert_eq!(default.max_segment_size, 128 << 20);
    for size in [64 << 20, 128 << 20, 512 << 20, 1 << 30] {
        let config = WalConfig {
            max_segment_size: size,
            preallocate: false,
            ..default.clone()
        };
        works(config).await?;
    }
    for size in [(1 << 20) - 1, (4 << 30) + 1] {
        let dir = tempfile::tempdir()?;
        let config = WalConfig {
            max_segment_size: size,
            ..default.clone()
        };
        let refused = Wal::open(dir.path(), config).await;
        assert!(matches!(
            refused,
            Err(Error::InvalidConfig {
                field: "max_segment_size",
                ..
            })
        ));
    }
    Ok(())
}

/// "`fsync_policy`".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fsync_policy() -> Result<()> {
    for policy in [
        FsyncPolicy::Always,
        FsyncPolicy::Batch(Duration::from_millis(1)),
        FsyncPolicy::Batch(Duration::from_millis(5)),
        FsyncPolicy::Batch(Duration::from_millis(10)),
        FsyncPolicy::Os,
    ] {
        let config = WalConfig {
            fsync_policy: policy,
            ..WalConfig::default()
        };
        works(config).await?;
    }
    Ok(())
}

/// "`preallocate`".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preallocate() -> Result<()> {
    assert!(WalConfig::default().preallocate);
    for preallocate in [true, false] {
        let config = WalConfig {
            preallocate,
            ..WalConfig::default()
        };
        works(config).await?;
    }
    Ok(())
}
