//! The limits do what they claim: a limit that cheats would make the log look slow.

#![forbid(unsafe_code)]

use std::io::ErrorKind;
use std::path::Path;
use std::thread;

use wal_bench::Payloads;
use wal_bench::limits::{
    Chunks, HEAD_LEN, Prewritten, RawChunk, RawDirect, RawGroup, RawPoint, RawShards,
};

fn lengths() -> impl Iterator<Item = u64> {
    [0, 1, 100, 1024, 10_240, 65_000]
        .into_iter()
        .cycle()
        .take(200)
}

fn write(dir: &Path) {
    let (mut file, payloads) = (RawChunk::create(dir).expect("a file"), Payloads::default());
    for (n, len) in lengths().enumerate() {
        file.append(payloads.get(n as u64, len)).expect("appended");
    }
    file.flush().expect("flushed");
}

#[test]
fn raw_chunk_reads_what_it_wrote() {
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path());
    let (mut chunks, payloads) = (
        Chunks::open(dir.path()).expect("a file"),
        Payloads::default(),
    );
    for (n, len) in lengths().enumerate() {
        let found = chunks.next_payload().expect("valid");
        assert_eq!(found, Some(payloads.get(n as u64, len)), "record {n}");
    }
    assert_eq!(chunks.next_payload().expect("valid"), None);
}

#[test]
fn raw_chunk_finds_a_flipped_bit_and_a_cut() {
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path());
    let path = dir.path().join("raw-chunk");
    let whole = std::fs::read(&path).expect("the file");
    let ends = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("written");
        let mut chunks = Chunks::open(dir.path()).expect("a file");
        loop {
            match chunks.next_payload() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(error.kind()),
            }
        }
    };
    assert_eq!(ends(&whole), None);
    assert_eq!(
        ends(&whole[..whole.len() - 1]),
        Some(ErrorKind::InvalidData)
    );
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    assert_eq!(ends(&flipped), Some(ErrorKind::InvalidData));
    let mut long = whole;
    long[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(ends(&long), Some(ErrorKind::InvalidData));
}

#[test]
fn raw_direct_syncs_each_record_and_begins_anew_at_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let len = 3 * (HEAD_LEN as u64 + 100);
    let file = Prewritten::create(dir.path(), "file", len).expect("a file");
    let direct = RawDirect::new(file);
    let payloads = Payloads::default();
    for n in 0..5 {
        direct.append(payloads.get(n, 100)).expect("appended");
    }
    assert_eq!(direct.syncs(), 5);
    let bytes = std::fs::read(dir.path().join("file")).expect("the file");
    assert_eq!(bytes.len() as u64, len, "it does not grow");
    for (at, n) in [3, 4, 2].into_iter().enumerate() {
        let at = at * (HEAD_LEN + 100) + HEAD_LEN;
        assert_eq!(&bytes[at..at + 100], payloads.get(n, 100), "record {n}");
    }
}

#[test]
fn raw_group_writes_every_record_once() {
    const WRITERS: u64 = 8;
    const RECORDS: u64 = 200;
    let dir = tempfile::tempdir().expect("a directory");
    let file = Prewritten::create(dir.path(), "file", 1 << 20).expect("a file");
    let (group, payloads) = (RawGroup::new(file), Payloads::default());
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (group, payloads) = (&group, &payloads);
            scope.spawn(move || {
                for n in 0..RECORDS {
                    let payload = payloads.get(writer * RECORDS + n, 16);
                    group.append(payload).expect("appended");
                }
            });
        }
    });
    assert!(group.syncs() <= WRITERS * RECORDS);
    let bytes = std::fs::read(dir.path().join("file")).expect("the file");
    let mut found: Vec<&[u8]> = bytes
        .chunks_exact(HEAD_LEN + 16)
        .take((WRITERS * RECORDS) as usize)
        .map(|record| &record[HEAD_LEN..])
        .collect();
    let numbers = 0..WRITERS * RECORDS;
    let mut written: Vec<&[u8]> = numbers.map(|n| payloads.get(n, 16)).collect();
    found.sort_unstable();
    written.sort_unstable();
    assert_eq!(found, written);
}

#[test]
fn raw_point_reads_the_record_that_it_is_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let payloads = Payloads::default();
    let mut file = RawChunk::create(dir.path()).expect("a file");
    for n in 0..50 {
        file.append(payloads.get(n, 100)).expect("appended");
    }
    file.flush().expect("flushed");
    let points = RawPoint::open(dir.path(), 100).expect("a file");
    for n in [49, 0, 17] {
        assert_eq!(points.read(n).expect("valid"), payloads.get(n, 100));
    }
    points.read(50).expect_err("behind the end");
    let path = dir.path().join("raw-chunk");
    let mut bytes = std::fs::read(&path).expect("the file");
    bytes[17 * (HEAD_LEN + 100) + HEAD_LEN + 5] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    points.read(16).expect("valid");
    let error = points.read(17).expect_err("a flipped bit");
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

#[test]
fn raw_shards_has_what_was_put_and_what_its_log_says() {
    let (dir, payloads) = (
        tempfile::tempdir().expect("a directory"),
        Payloads::default(),
    );
    let log = RawChunk::create(dir.path()).expect("a file");
    let shards = RawShards::buffered(log);
    let key = |n: u64| (u128::from(n) << 64 | u128::from(n % 7)).to_be_bytes();
    for n in (0..1000).chain(0..500) {
        shards.put(&key(n), payloads.get(n, n % 100)).expect("put");
    }
    shards.put(&key(3), b"newer").expect("put");
    shards.flush().expect("flushed");
    let mut log = Chunks::open(dir.path()).expect("a file");
    let read = RawShards::read(&mut log).expect("valid");
    for map in [&shards, &read] {
        assert_eq!((map.len(), map.is_empty()), (1000, false));
        assert_eq!(map.get(&key(3)).as_deref(), Some(&b"newer"[..]));
        for n in 4..1000 {
            let found = map.get(&key(n));
            assert_eq!(found.as_deref(), Some(payloads.get(n, n % 100)));
        }
        assert_eq!(map.get(&key(1000)), None);
    }
}
