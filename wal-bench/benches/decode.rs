//! A group in a buffer, verified: its header, each record, the group as a whole. No file.

#![forbid(unsafe_code)]

mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use support::{LIMIT, SIZES, START, frame, group};
use wal_bench::Payloads;
use wal_format::{GROUP_HEADER_LEN, GroupError, GroupHeader, RecordsCursor};

/// Records of a group.
const COUNT: u64 = 100;

/// Verifies all; returns the number of records.
fn walk(bytes: &[u8]) -> Result<u32, GroupError> {
    let (header, _) = GroupHeader::decode(bytes, frame(), START)?;
    let mut cursor = RecordsCursor::new(&header, frame(), LIMIT)?;
    let (mut at, mut count) = (GROUP_HEADER_LEN, 0);
    while let Some(head) = cursor.step(&bytes[at..])? {
        at += head.total_len() as usize;
        count += 1;
    }
    Ok(count)
}

fn decode(criterion: &mut Criterion) {
    let payloads = Payloads::default();
    let mut benches = criterion.benchmark_group("decode");
    for len in SIZES {
        let groups = group(&payloads, COUNT, len);
        assert_eq!(walk(groups.bytes()), Ok(100));
        benches.throughput(Throughput::Bytes(len * COUNT));
        benches.bench_function(format!("group, {len} B"), |bencher| {
            bencher.iter(|| walk(black_box(groups.bytes())));
        });
    }
    let header = group(&payloads, 1, 100);
    benches.throughput(Throughput::Elements(1));
    benches.bench_function("group header", |bencher| {
        bencher.iter(|| GroupHeader::decode(black_box(header.bytes()), frame(), START));
    });
    benches.finish();
}

criterion_group!(name = benches; config = support::quick(); targets = decode);
criterion_main!(benches);
