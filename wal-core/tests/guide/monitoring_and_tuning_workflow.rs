//! "Monitoring and Tuning Workflow". What it prints is not judged here: this is no benchmark.

use std::time::{Duration, Instant};

use anyhow::Result;
use wal_core::{FsyncPolicy, Record, WalConfig};

use super::support::{Log, records};

/// "1. Establish Baseline".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn establish_baseline() -> Result<()> {
    let log = Log::open(WalConfig::default()).await?;
    let wal = &log.wal;

    let start = Instant::now();

    for i in 0..10_000 {
        wal.append(&Record::put(&format!("key{}", i), b"value"))
            .await?;
    }
    wal.sync().await?;

    let elapsed = start.elapsed();
    println!(
        "Throughput: {} writes/sec",
        10_000.0 / elapsed.as_secs_f64()
    );

    assert_eq!(wal.durable_lsn().get(), 10_000);
    assert_eq!(log.into_records().await?.len(), 10_000);
    Ok(())
}

/// "2. Identify Bottleneck".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identify_bottleneck() -> Result<()> {
    let log = Log::open(WalConfig::default()).await?;
    let wal = &log.wal;
    let record = Record::put("key", "value");

    // Write latency
    let start = Instant::now();
    wal.append(&record).await?;
    let write_latency = start.elapsed();

    // Fsync latency
    let start = Instant::now();
    wal.sync().await?;
    let fsync_latency = start.elapsed();

    println!("Write: {:?}, Fsync: {:?}", write_latency, fsync_latency);

    // Beyond the snippet: the log keeps the same figures itself.
    let stats = wal.stats();
    assert_eq!(stats.records_appended, 1);
    assert!(stats.syncs > 0 && stats.sync_time > Duration::ZERO);
    wal.close().await?;
    Ok(())
}

/// "3. Apply Tuning": no snippet. A log takes other settings each time it is opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apply_tuning() -> Result<()> {
    let always = WalConfig {
        fsync_policy: FsyncPolicy::Always,
        max_segment_size: 1 << 20,
        ..WalConfig::default()
    };
    let batch = WalConfig {
        fsync_policy: FsyncPolicy::Batch(Duration::from_millis(5)),
        ..always.clone()
    };
    let larger = WalConfig {
        max_segment_size: 4 << 20,
        ..batch.clone()
    };
    let mut log = Log::open(always).await?;
    let mut expected = Vec::new();
    for config in [batch, larger] {
        for record in records(10) {
            log.wal.append(&record).await?;
        }
        expected.extend(records(10));
        log = log.reopen(config).await?;
    }
    assert_eq!(log.into_records().await?, expected);
    Ok(())
}

/// "4. Verify".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify() -> Result<()> {
    let log = Log::open(WalConfig::default()).await?;
    let wal = &log.wal;
    let record = Record::put("key", "value");

    // Track p99 latency
    let mut latencies = Vec::new();

    for _ in 0..100_000 {
        let start = Instant::now();
        wal.append(&record).await?;
        latencies.push(start.elapsed());
    }

    latencies.sort();
    let p99 = latencies[(latencies.len() * 99) / 100];
    println!("p99 latency: {:?}", p99);

    assert_eq!(wal.last_lsn().get(), 100_000);
    wal.close().await?;
    Ok(())
}
