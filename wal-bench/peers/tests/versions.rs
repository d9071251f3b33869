//! The versions that the rows show: those in Cargo.lock, and in the README.

#![forbid(unsafe_code)]

use wal_bench_peers::{logs, stores};

/// The crate that a row is named after, where it is not the row's name up to its first bracket.
const CRATES: [(&str, &str); 7] = [
    ("commitlog-fsync", "commitlog"),
    ("fjall-manual", "fjall"),
    ("okaywal-default", "okaywal"),
    ("open-wal-group", "open-wal"),
    ("sled-fsync", "sled"),
    ("sqlite", "rusqlite"),
    ("walrus", "walrus-rust"),
];

fn crate_of(row: &str) -> &str {
    let row = row.split(" (").next().unwrap_or(row);
    let named = CRATES.iter().find(|(name, _)| *name == row);
    named.map_or(row, |(_, krate)| krate)
}

#[test]
fn each_row_shows_the_version_that_is_built_in() {
    let rows = logs().into_iter().map(|peer| row(peer.name, peer.version));
    let more = stores()
        .into_iter()
        .map(|store| row(store.name, store.version));
    for (krate, version) in rows.chain(more) {
        let entry = format!("name = \"{krate}\"\nversion = \"{version}\"\n");
        assert!(include_str!("../Cargo.lock").contains(&entry), "{krate}");
        let named = format!("| {krate} {version}");
        assert!(include_str!("../README.md").contains(&named), "{krate}");
    }
}

fn row(name: &str, version: &str) -> (String, String) {
    (crate_of(name).to_owned(), version.to_owned())
}
