//! Gives the program the versions of the peers: those in Cargo.lock, which are the ones that are built in.

use std::process::ExitCode;

/// Crates whose version a row shows.
const PEERS: [&str; 11] = [
    "commitlog",
    "fjall",
    "okaywal",
    "open-wal",
    "raft-engine",
    "redb",
    "rocksdb",
    "rusqlite",
    "sled",
    "wal-db",
    "walrus-rust",
];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=Cargo.lock");
    let lock = match std::fs::read_to_string("Cargo.lock") {
        Ok(lock) => lock,
        Err(error) => {
            println!("cargo::error=reading Cargo.lock: {error}");
            return ExitCode::FAILURE;
        }
    };
    for name in PEERS {
        let Some(version) = version(&lock, name) else {
            println!("cargo::error=Cargo.lock has no {name}");
            return ExitCode::FAILURE;
        };
        let key = name.to_uppercase().replace('-', "_");
        println!("cargo::rustc-env=VERSION_{key}={version}");
    }
    ExitCode::SUCCESS
}

/// The version in the entry of the package `name`.
fn version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let entry = lock
        .split_once(&format!("name = \"{name}\"\nversion = \""))?
        .1;
    Some(entry.split_once('"')?.0)
}
