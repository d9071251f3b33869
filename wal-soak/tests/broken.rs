//! The soak is tested: a store that is broken on purpose does not pass it. Only in a build with `--cfg wal_sabotage`:
//! `cargo xtask soak broken`.

#![cfg(wal_sabotage)]
#![forbid(unsafe_code)]

use std::process::Command;

/// Rounds with other seeds, if the load has not met the mistake: it depends on the moment.
const SEEDS: std::ops::Range<u64> = 1..6;

/// Runs a round of a store with the mistake `variant`, and looks for `told` in what the soak says.
#[track_caller]
fn is_found(variant: &str, round: u64, told: &str) {
    let mut said = String::new();
    for seed in SEEDS {
        let place = tempfile::tempdir().expect("a directory");
        let output = Command::new(env!("CARGO_BIN_EXE_wal-soak"))
            .args(["kv", "--length-ms", "4000", "--round", &round.to_string()])
            .args(["--seed", &seed.to_string(), "--dir"])
            .arg(place.path())
            .env("WAL_SABOTAGE", variant)
            .output()
            .expect("it runs");
        said = String::from_utf8_lossy(&output.stdout).into_owned();
        let violations = said.lines().filter(|line| line.starts_with("violation: "));
        let found = violations.filter(|line| line.contains(told)).count() > 0;
        if found {
            assert!(!output.status.success(), "it has passed: {said}");
            return;
        }
    }
    panic!("{variant} was not found: {said}");
}

#[test]
fn a_key_that_was_deleted_and_is_back_is_found() {
    is_found("kv-deletes-not-replayed", 0, "an older write has come back");
}

#[test]
fn a_version_that_no_view_shows_is_found_in_the_memory_of_views() {
    is_found(
        "kv-kept-though-no-view-shows-it",
        1,
        "`view_bytes` stays below",
    );
}

#[test]
fn an_expiry_that_is_gone_is_found() {
    is_found("kv-conditional-put-drops-the-ttl", 3, "it expires at None");
}

#[test]
fn a_directory_above_the_bound_is_found() {
    is_found("kv-bound-forgets-the-data-before", 5, "bytes on disk");
}
