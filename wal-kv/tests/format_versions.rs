//! A store whose log goes on in a newer version of the on-disk format.

#![forbid(unsafe_code)]

use std::path::Path;

use wal_kv::blocking::KvStore;
use wal_kv::{Error, FormatVersion, Result};

const V1: FormatVersion = FormatVersion::V1;
const V2: FormatVersion = FormatVersion::V2;

fn open(dir: &Path, version: Option<FormatVersion>) -> Result<KvStore> {
    let builder = KvStore::builder(dir);
    match version {
        Some(version) => builder.format_version(version).open(),
        None => builder.open(),
    }
}

/// The versions in the headers of the log's segments, oldest first.
fn versions(dir: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let mut segments: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
        .collect();
    segments.sort();
    let version = |path| std::fs::read(path).expect("read")[12];
    segments.into_iter().map(version).collect()
}

#[test]
fn a_store_keeps_its_version_until_another_is_asked_for_and_does_not_go_back() {
    let tmp = tempfile::tempdir().expect("a directory");
    let dir = tmp.path().join("store");
    for (session, version) in [Some(V1), None, Some(V2), None].into_iter().enumerate() {
        let store = open(&dir, version).expect("opened");
        assert_eq!(store.len(), session);
        store.put(format!("key {session}"), "value").expect("put");
        store.put("last", format!("{session}")).expect("put");
        store.delete("last").expect("deleted");
        store.close().expect("closed");
    }
    assert_eq!(versions(&dir), [1, 1, 2, 2]);
    let refused = open(&dir, Some(V1)).map(|_| ());
    let Err(Error::Log(wal_core::Error::InvalidConfig { field, .. })) = refused else {
        panic!("version 1 is refused: {refused:?}");
    };
    assert_eq!(field, "format_version");
    // Also where a snapshot has taken the place of the log of version 1.
    let store = open(&dir, None).expect("opened");
    store.snapshot().expect("a snapshot");
    store.close().expect("closed");
    let store = open(&dir, Some(V2)).expect("opened");
    assert_eq!(store.len(), 4);
    assert!((0..4).all(|n| store.get(format!("key {n}").as_bytes()).is_some()));
}
