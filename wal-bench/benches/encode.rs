//! From a caller's bytes to a group in a buffer: checksum, layout, mask, copy. No file and no lock.

#![forbid(unsafe_code)]

mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use support::{SIZES, begin, encoded, writer};
use wal_bench::Payloads;
use wal_format::Lsn;

/// Records of a group.
const COUNT: u64 = 100;

fn encode(criterion: &mut Criterion) {
    let payloads = Payloads::default();
    let mut benches = criterion.benchmark_group("encode");
    for len in SIZES {
        benches.throughput(Throughput::Bytes(len * COUNT));
        benches.bench_function(format!("record, {len} B"), |bencher| {
            bencher.iter(|| {
                for n in 0..COUNT {
                    black_box(encoded(payloads.get(n, len)));
                }
            });
        });
        let mut groups = writer();
        benches.bench_function(format!("record into a group, {len} B"), |bencher| {
            bencher.iter(|| {
                begin(&mut groups);
                for n in 0..COUNT {
                    groups.push(&encoded(payloads.get(n, len)));
                }
                groups.close_group(Lsn::ZERO)
            });
        });
    }
    benches.finish();
}

criterion_group!(name = benches; config = support::quick(); targets = encode);
criterion_main!(benches);
