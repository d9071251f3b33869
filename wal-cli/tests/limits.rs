//! Limits of the process: threads that cannot be started, and the size of a file.

#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

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

/// The command, with a limit in KiB on the size of files.
fn with_files_of(kib: u64, subcommand: &str, dir: &Path, options: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -f $1 && shift && exec \"$@\"", "limited"]);
    command.arg(kib.to_string());
    command.arg(env!("CARGO_BIN_EXE_wal"));
    command.arg(subcommand).arg(dir).args(options);
    command
}

#[test]
fn a_limit_on_the_size_of_files_is_reported_and_loses_nothing() {
    let place = Place::new();
    let log = place.log();
    let lines = odd_lines(2, 3_000, Lengths::Long);
    let limit = "a file may not grow beyond the limit of this process";
    // The first segment does not fit.
    run(&mut with_files_of(512, "append", &log, &[]), &lines)
        .code(1)
        .says(&["line 1: ", limit, "`ulimit -f`", "appended 0 records"]);
    assert!(cat(&log, &[]).code(0).stdout.is_empty());
    // Segments that grow: some of it fits.
    let options = ["--segment-size", "8MiB", "--no-preallocate", "--fsync"];
    for policy in ["always", "batch:5ms", "os"] {
        let options = [&options[..4], &[policy][..]].concat();
        let before = cat(&log, &[]).code(0).stdout;
        let ended = run(
            &mut with_files_of(3 << 10, "append", &log, &options),
            &lines,
        )
        .code(1)
        .says(&[limit]);
        let after = cat(&log, &[]).code(0).stdout;
        let appended = after.strip_prefix(&before[..]).unwrap();
        assert!(appended.len() > 1 << 20, "{policy}: {}", ended.stderr);
        assert!(lines.starts_with(appended), "{policy}");
        verify(&log).code(0);
    }
    run(
        &mut with_files_of(3 << 10, "append", &log, &["--segment-size", "1MiB"]),
        &lines,
    )
    .code(0);
}

#[test]
fn a_report_that_meets_the_limit_on_the_size_of_files_is_no_success() {
    let place = Place::new();
    let log = place.log();
    append(
        &log,
        &["--segment-size", "1MiB"],
        &odd_lines(3, 2_000, Lengths::Long),
    )
    .code(0);
    let out = place.root().join("out");
    let mut command = with_files_of(16, "cat", &log, &[]);
    let ended = command
        .stdout(File::create(&out).unwrap())
        .stderr(Stdio::piped());
    let ended = ended.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("writing standard output"));
    assert_eq!(out.metadata().unwrap().len(), 16 << 10);
}
