//! What every log must do, at a tiny size: take records, and give them back in order.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::Path;

use wal_bench::peer::{Entrant, Peer, Reached};
use wal_bench_peers::logs;

const RECORDS: usize = 100;
const BOTH: [Reached; 2] = [Reached::Buffered, Reached::Durable];

/// Record `n`: of various lengths, and unlike its neighbours.
fn payload(n: usize) -> Vec<u8> {
    let len = 1 + n * 37 % 3000;
    (0..len).map(|at| (n * 131 + at * 7) as u8).collect()
}

fn payloads() -> Vec<Vec<u8>> {
    (0..RECORDS).map(payload).collect()
}

/// Appends all records, one by one and then in batches; `false` if this durability is not offered.
fn fill(peer: &Entrant<dyn Peer>, dir: &Path, reached: Reached) -> bool {
    let name = peer.name;
    let Some(log) = peer.create(dir, reached).expect(name) else {
        return false;
    };
    let payloads = payloads();
    let (single, batched) = payloads.split_at(RECORDS / 2);
    for payload in single {
        log.append(payload).expect(name);
    }
    for batch in batched.chunks(7) {
        let batch: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
        log.append_batch(&batch).expect(name);
    }
    log.flush().expect(name);
    true
}

fn read(peer: &Entrant<dyn Peer>, dir: &Path) -> Option<Vec<Vec<u8>>> {
    let (name, mut found) = (peer.name, Vec::new());
    peer.replay(dir, &mut |payload| found.push(payload.to_vec()))
        .expect(name)
        .map(|()| found)
}

#[test]
fn what_was_appended_is_read_back_in_order() {
    for peer in logs() {
        for reached in BOTH {
            let dir = tempfile::tempdir().expect("a directory");
            if fill(&peer, dir.path(), reached) {
                if let Some(found) = read(&peer, dir.path()) {
                    assert!(found == payloads(), "{}, {reached:?}", peer.name);
                }
            }
        }
    }
}

#[test]
fn reading_takes_nothing_away() {
    for peer in logs() {
        for reached in BOTH {
            let dir = tempfile::tempdir().expect("a directory");
            if fill(&peer, dir.path(), reached) {
                let first = read(&peer, dir.path());
                assert!(first == read(&peer, dir.path()), "{}", peer.name);
            }
        }
    }
}

/// A log that is read back while its records are durable has lost none to a buffer of the process.
#[test]
fn every_writer_has_its_records_in_the_log() {
    const WRITERS: usize = 4;
    for peer in logs() {
        let name = peer.name;
        let dir = tempfile::tempdir().expect("a directory");
        let Some(log) = peer.create(dir.path(), Reached::Durable).expect(name) else {
            continue;
        };
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let log = &log;
                scope.spawn(move || {
                    for n in 0..RECORDS {
                        let record = format!("{writer} {n:03}");
                        log.append(record.as_bytes()).expect(name);
                    }
                });
            }
        });
        drop(log);
        let Some(found) = read(&peer, dir.path()) else {
            continue;
        };
        let of_writer = |writer: usize| {
            let prefix = format!("{writer} ").into_bytes();
            let own = found
                .iter()
                .filter(move |record| record.starts_with(&prefix));
            own.cloned().collect::<Vec<_>>()
        };
        assert_eq!(found.len(), WRITERS * RECORDS, "{name}");
        for writer in 0..WRITERS {
            let own = of_writer(writer);
            assert!(own.is_sorted() && own.len() == RECORDS, "{name}, {writer}");
        }
    }
}

#[test]
fn each_way_of_use_has_a_name_and_offers_something() {
    let logs = logs();
    let names: BTreeSet<&str> = logs.iter().map(|peer| peer.name).collect();
    assert_eq!(names.len(), logs.len());
    for peer in &logs {
        let name = peer.name;
        let offers = |reached| {
            let dir = tempfile::tempdir().expect("a directory");
            peer.create(dir.path(), reached).expect(name).is_some()
        };
        assert!(BOTH.map(offers).contains(&true), "{name}");
        assert!(peer.version.starts_with(|c: char| c.is_ascii_digit()));
    }
}
