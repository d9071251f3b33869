//! The commit path of the log on storage in memory, where a write is a copy and a sync costs nothing: what is left is the log's own.

#![forbid(unsafe_code)]

mod support;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use support::log;
use wal_bench::Payloads;
use wal_core::{FsyncPolicy, Record, RecordRef};

const LEN: u64 = 1024;
/// Records of an iteration, each of which has a log of its own.
const COUNT: u64 = 500;

fn commit(criterion: &mut Criterion) {
    let payloads = Payloads::default();
    let mut benches = criterion.benchmark_group("commit");
    benches.throughput(Throughput::Elements(COUNT));
    benches.bench_function("append under Os, then sync", |bencher| {
        bencher.iter_batched_ref(
            || log(FsyncPolicy::Os),
            |wal| {
                for n in 0..COUNT {
                    wal.append(RecordRef::data(payloads.get(n, LEN)))?;
                }
                wal.sync()
            },
            BatchSize::PerIteration,
        );
    });
    benches.bench_function("append under Always", |bencher| {
        bencher.iter_batched_ref(
            || log(FsyncPolicy::Always),
            |wal| -> wal_core::Result<()> {
                for n in 0..COUNT {
                    wal.append(RecordRef::data(payloads.get(n, LEN)))?;
                }
                Ok(())
            },
            BatchSize::PerIteration,
        );
    });
    let batch: Vec<Record> = (0..COUNT)
        .map(|n| Record::data(payloads.get(n, LEN)))
        .collect();
    benches.bench_function("append_batch under Always", |bencher| {
        bencher.iter_batched_ref(
            || log(FsyncPolicy::Always),
            |wal| wal.append_batch(&batch),
            BatchSize::PerIteration,
        );
    });
    benches.finish();
}

criterion_group!(name = benches; config = support::quick(); targets = commit);
criterion_main!(benches);
