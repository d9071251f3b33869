//! "Conclusion" (the checklist before it has no snippets).

use std::time::Duration;

use anyhow::Result;
use wal_core::{FsyncPolicy, WalConfig};

use super::support::{Log, records};

/// The settings that the guide ends with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conclusion() -> Result<()> {
    let config = WalConfig {
        max_segment_size: 256 * 1024 * 1024,
        fsync_policy: FsyncPolicy::Batch(Duration::from_millis(5)),
        preallocate: true,
        node_id: 0,
    };

    let log = Log::open(config).await?;
    for record in records(1000) {
        log.wal.append(&record).await?;
    }
    assert_eq!(log.into_records().await?, records(1000));
    Ok(())
}
