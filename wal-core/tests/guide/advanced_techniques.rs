//! "Advanced Techniques".

use anyhow::Result;
use wal_core::{Compression, Record, Wal, WalConfig};

use super::support::{Log, document, records};

pub struct BatchingWal {
    wal: Wal,
    buffer: Vec<Record>,
    batch_size: usize,
}

impl BatchingWal {
    pub async fn append(&mut self, record: Record) -> Result<()> {
        self.buffer.push(record);

        if self.buffer.len() >= self.batch_size {
            self.flush().await?;
        }

        Ok(())
    }

    pub async fn flush(&mut self) -> Result<()> {
        for record in self.buffer.drain(..) {
            self.wal.append(&record).await?;
        }
        self.wal.sync().await?;

        Ok(())
    }
}

/// "Custom Batching Strategy".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_batching_strategy() -> Result<()> {
    let log = Log::open(WalConfig::default()).await?;
    let mut batching = BatchingWal {
        wal: log.wal.clone(),
        buffer: Vec::new(),
        batch_size: 10,
    };
    for record in records(25) {
        batching.append(record).await?;
    }
    assert_eq!(log.wal.durable_lsn().get(), 20, "the rest is in the buffer");
    batching.flush().await?;
    assert_eq!(log.wal.durable_lsn().get(), 25);
    assert_eq!(log.into_records().await?, records(25));
    Ok(())
}

pub async fn parallel_replay(wal: &Wal) -> Result<Vec<Record>> {
    let segments = wal.list_segments().await?;

    let handles: Vec<_> = segments
        .into_iter()
        .map(|segment_id| {
            let wal = wal.clone();
            tokio::spawn(async move {
                let mut records = Vec::new();
                let mut reader = wal.read_segment(segment_id).await?;

                while let Some((record, _)) = reader.next_record().await? {
                    records.push(record);
                }

                Ok::<_, anyhow::Error>(records)
            })
        })
        .collect();

    let mut all_records = Vec::new();
    for handle in handles {
        all_records.extend(handle.await??);
    }

    Ok(all_records)
}

/// "Parallel Segment Readers".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_segment_readers() -> Result<()> {
    let config = WalConfig {
        max_segment_size: 1 << 20,
        ..WalConfig::default()
    };
    let log = Log::open(config).await?;
    let mut appended = records(100_000);
    for record in &appended {
        log.wal.append(record).await?;
    }
    assert!(log.wal.list_segments().await?.len() > 2);
    assert_eq!(parallel_replay(&log.wal).await?, appended);

    // The same of a log that has been cut and is still written.
    log.wal.truncate_before(wal_core::Lsn::new(60_001)).await?;
    appended.drain(..60_000);
    log.wal.append(&Record::delete("key1")).await?;
    appended.push(Record::delete("key1"));
    assert_eq!(parallel_replay(&log.wal).await?, appended);
    log.wal.close().await?;
    Ok(())
}

/// Set in a process that has few descriptors.
const FEW_DESCRIPTORS: &str = "WAL_TEST_FEW_DESCRIPTORS";
/// Segments of the log: many more than that.
const SEGMENTS: usize = 1000;

/// The same of a log of a thousand segments, in a process that may have 64 files open: one task for each segment, all at once.
#[test]
fn parallel_segment_readers_need_few_descriptors() -> Result<()> {
    let name = "guide::advanced_techniques::parallel_segment_readers_need_few_descriptors";
    if let Some(dir) = std::env::var_os(FEW_DESCRIPTORS) {
        return replay_with_few_descriptors(std::path::Path::new(&dir));
    }
    if !cfg!(unix) {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let wal = small(dir.path()).open()?;
    while wal.list_segments()?.len() < SEGMENTS {
        wal.append(&Record::data(vec![7; 1500]))?;
    }
    wal.close()?;
    let outcome = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$@\"", "sh"])
        .arg(std::env::current_exe()?)
        .args(["--exact", name, "--nocapture"])
        .env(FEW_DESCRIPTORS, dir.path())
        .output()?;
    assert!(outcome.status.success(), "{outcome:?}");
    assert!(String::from_utf8_lossy(&outcome.stdout).contains("1 passed"));
    Ok(())
}

fn small(dir: &std::path::Path) -> wal_core::Builder<wal_core::blocking::Wal> {
    let config = WalConfig {
        max_segment_size: 8 << 10,
        fsync_policy: wal_core::FsyncPolicy::Os,
        ..WalConfig::default()
    };
    wal_core::blocking::Wal::builder(dir)
        .config(config)
        .small_segments()
}

fn replay_with_few_descriptors(dir: &std::path::Path) -> Result<()> {
    let runtimes = [
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(8)
            .build()?,
        tokio::runtime::Builder::new_current_thread().build()?,
    ];
    for runtime in &runtimes {
        for read_only in [true, false] {
            let wal = if read_only {
                small(dir).read_only().open()?
            } else {
                small(dir).open()?
            };
            let last = wal.last_lsn().get();
            let records = runtime.block_on(parallel_replay(&Wal::from(wal.clone())))?;
            assert_eq!(records.len() as u64, last);
            wal.close()?;
        }
    }
    Ok(())
}

fn choose_compression(value: &[u8]) -> Compression {
    if value.len() < 1024 {
        Compression::None // Small values: overhead not worth it
    } else if is_text_or_json(value) {
        Compression::Lz4 // Fast compression for text
    } else {
        Compression::None // Binary data often incompressible
    }
}

/// The guide leaves this one to the reader.
fn is_text_or_json(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok()
}

/// "Compression Selection".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compression_selection() -> Result<()> {
    let mut noise = 1_u64;
    let binary: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        (noise >> 56) as u8
    })
    .take(4096)
    .collect();
    let values = [document(1023), document(4096), binary.clone()];
    let expected = [Compression::None, Compression::Lz4, Compression::None];

    let log = Log::open(WalConfig::default()).await?;
    for value in &values {
        let compression = choose_compression(value);
        let record = Record::data(value).with_compression(compression);
        log.wal.append(&record).await?;
    }
    // Beyond the snippet: asking for compression that does not help does no harm.
    let stubborn = Record::data(&binary).with_compression(Compression::Zstd);
    log.wal.append(&stubborn).await?;

    let read = log.into_records().await?;
    for (read, (value, expected)) in read.iter().zip(values.iter().zip(expected)) {
        assert_eq!(read.value, value);
        assert_eq!(read.compression(), expected);
    }
    assert_eq!(read[3].value, binary);
    assert_eq!(read[3].compression(), Compression::None);
    Ok(())
}
