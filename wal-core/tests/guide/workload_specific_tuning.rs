//! "Workload-Specific Tuning".

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use wal_core::{Compression, FsyncPolicy, Record, Wal, WalConfig};

use super::support::{Log, document, read_all};

/// "High-Throughput Writes".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn high_throughput_writes() -> Result<()> {
    let config = WalConfig {
        max_segment_size: 512 * 1024 * 1024, // Large segments
        fsync_policy: FsyncPolicy::Batch(
            Duration::from_millis(10), // Longer batch window
        ),
        preallocate: true, // Avoid allocation pauses
        node_id: 0,
    };

    let log = Log::open(config).await?;
    let wal = &log.wal;
    // Batch writes before syncing
    let mut batch = Vec::new();
    for i in 0..1000 {
        batch.push(Record::put(&format!("key{}", i), b"value"));
    }

    for record in batch {
        wal.append(&record).await?;
    }
    wal.sync().await?; // Single fsync for 1000 records

    assert_eq!(wal.durable_lsn().get(), 1000);
    let read = log.into_records().await?;
    assert_eq!(read.len(), 1000);
    assert_eq!(read[999], Record::put("key999", "value"));
    Ok(())
}

pub struct FastKvStore {
    data: HashMap<Bytes, Bytes>, // In-memory for O(1) reads
    wal: Wal,                    // For durability
}

impl FastKvStore {
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        // O(1) read from memory
        self.data.get(key).map(|v| v.as_ref())
    }

    pub async fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        // Write to WAL first
        self.wal.append(&Record::put(key, value)).await?;

        // Then update in-memory
        // Changed: the guide has `insert(key.into(), value.into())`. Only a slice that lives for ever becomes `Bytes` with
        // `into`; these are borrowed, so they are copied first.
        self.data.insert(key.to_vec().into(), value.to_vec().into());

        Ok(())
    }
}

/// "Low-Latency Reads". Beyond the snippet: the map is built again from the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn low_latency_reads() -> Result<()> {
    let log = Log::open(WalConfig::default()).await?;
    let mut store = FastKvStore {
        data: HashMap::new(),
        wal: log.wal.clone(),
    };
    for (key, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
        store.put(key.as_bytes(), value.as_bytes()).await?;
    }
    assert_eq!(store.get(b"a"), Some(&b"3"[..]));
    assert_eq!(store.get(b"b"), Some(&b"2"[..]));
    assert_eq!(store.get(b"c"), None);

    let mut again = HashMap::new();
    for record in log.into_records().await? {
        again.insert(record.key, record.value);
    }
    assert_eq!(again, store.data);
    Ok(())
}

/// "Durability-Critical Workloads".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durability_critical_workloads() -> Result<()> {
    let config = WalConfig {
        fsync_policy: FsyncPolicy::Always,   // Fsync every write
        max_segment_size: 128 * 1024 * 1024, // Smaller segments
        preallocate: true,                   // Detect disk full early
        node_id: 0,
    };

    let log = Log::open(config).await?;
    let wal = &log.wal;
    for n in 1..=20 {
        let record = Record::put(format!("key{n}"), "value");
        // Sync after every write
        wal.append(&record).await?;
        assert_eq!(wal.durable_lsn().get(), n, "durable before the sync");
        wal.sync().await?; // Ensure on disk before proceeding
    }
    assert_eq!(log.into_records().await?.len(), 20);
    Ok(())
}

/// "Large Record Workloads".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_record_workloads() -> Result<()> {
    let config = WalConfig {
        max_segment_size: 1024 * 1024 * 1024, // 1 GB segments
        fsync_policy: FsyncPolicy::Batch(Duration::from_millis(5)),
        preallocate: false, // Don't preallocate (wastes space)
        node_id: 0,
    };

    let log = Log::open(config).await?;
    let wal = &log.wal;
    // Compress large records
    let large_value = vec![0u8; 1_000_000]; // 1 MB

    let record = Record::put(b"key", &large_value).with_compression(Compression::Zstd);

    wal.append(&record).await?;

    assert!(wal.stats().bytes_appended < 10_000);
    let text = document(1_000_000);
    let record = Record::put(b"text", &text).with_compression(Compression::Zstd);
    wal.append(&record).await?;
    let read = read_all(wal).await?;
    assert_eq!(read[0].value, large_value);
    assert_eq!(read[1].value, text);
    assert_eq!(log.into_records().await?, read);
    Ok(())
}
