//! A reader of the log on storage in memory, where a read is a copy: what is left is the log's own.

#![forbid(unsafe_code)]

mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use support::{SIZES, log};
use wal_bench::Payloads;
use wal_core::{FsyncPolicy, Lsn, RecordRef, blocking::Wal};

/// Bytes of payload that are read.
const BYTES: u64 = 8 << 20;

/// Reads all; returns the bytes of the values.
fn read(wal: &Wal) -> wal_core::Result<usize> {
    let (mut reader, mut bytes) = (wal.read_from(Lsn::FIRST)?, 0);
    while let Some((record, _)) = reader.next_record()? {
        bytes += black_box(&record.value[..]).len();
    }
    Ok(bytes)
}

fn reader(criterion: &mut Criterion) {
    let payloads = Payloads::default();
    let mut benches = criterion.benchmark_group("reader");
    for len in SIZES {
        let wal = log(FsyncPolicy::Os);
        for n in 0..BYTES / len {
            let record = RecordRef::data(payloads.get(n, len));
            wal.append(record).expect("memory has room");
        }
        wal.sync().expect("synced");
        benches.throughput(Throughput::Bytes(BYTES));
        benches.bench_function(format!("next_record, {len} B"), |bencher| {
            bencher.iter(|| read(&wal));
        });
        let last = wal.last_lsn();
        benches.throughput(Throughput::Elements(1));
        benches.bench_function(format!("read_from the last record, {len} B"), |bencher| {
            bencher.iter(|| wal.read_from(last)?.next_record());
        });
    }
    benches.finish();
}

criterion_group!(name = benches; config = support::quick(); targets = reader);
criterion_main!(benches);
