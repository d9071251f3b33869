//! Limits of the process: threads that cannot be started, and the size of a file.

#![cfg(target_os = "linux")]

mod common;

use std::process::Command;

use common::{Lengths, Place, append, cat, odd_lines, overwrite, run, verify, wal};

/// The command where every `pthread_create` fails with `EAGAIN`: no stack of that size fits into the address space.
fn without_threads() -> Command {
    let mut command = wal();
    command.env("RUST_MIN_STACK", (1_u64 << 47).to_string());
    command
}

#[test]
fn verify_and_repair_go_on_where_no_thread_can_be_started() {
    let place = Place::new();
    let log = place.log();
    let lines = odd_lines(1, 3_000, Lengths::Long);
    append(&log, &["--segment-size", "1MiB"], &lines).code(0);
    assert!(place.files("wal").len() > 3);

    // Appending needs threads, which shows that there are none.
    run(without_threads().arg("append").arg(&log), b"one\n")
        .code(1)
        .says(&["starting"]);
    let threads = ["--threads", "8", "--json"];
    let with = run(wal().arg("verify").arg(&log).args(threads), b"").code(0);
    let without = run(without_threads().arg("verify").arg(&log).args(threads), b"");
    assert_eq!(without.code(0).json(), with.json());

    overwrite(&place.files("wal")[1], 10_000, b"\xFF\xFF\xFF");
    verify(&log).code(4);
    run(without_threads().arg("repair").arg(&log), b"").code(0);
    cat(&log, &["--skip-damage"]).code(6);
}
