//! Durable is what the system was asked for, not what a crate says: each append and each put of a lone writer has a sync of
//! its own. Seen through strace.

#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::path::Path;
use std::process::{Command, Stdio};

use wal_bench::peer::Reached;
use wal_bench_peers::{logs, stores};

const FEW: usize = 20;
const MANY: usize = 120;

/// A new command that runs under strace, which writes each sync to `trace`.
fn traced(trace: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-e", "trace=fsync,fdatasync", "-o"]);
    command.arg(trace);
    command
}

/// Without strace, or where it may not trace, there is nothing to see.
fn may_trace() -> bool {
    let mut command = traced(Path::new("/dev/null"));
    let status = command.arg("true").stderr(Stdio::null()).status();
    let may = status.is_ok_and(|status| status.success());
    if !may {
        eprintln!("skipped: strace is not installed, or may not trace here");
    }
    may
}

/// Syncs that succeeded while `name` took `count` records or pairs.
fn syncs(kind: &str, name: &str, count: usize) -> usize {
    let tmp = tempfile::tempdir().expect("a directory");
    let (trace, dir) = (tmp.path().join("trace"), tmp.path().join("peer"));
    std::fs::create_dir(&dir).expect("a directory");
    let status = traced(&trace)
        .arg(env!("CARGO_BIN_EXE_durable"))
        .args([kind, name, &count.to_string()])
        .arg(&dir)
        .status()
        .expect("strace");
    assert!(status.success(), "{kind} {name}");
    let calls = std::fs::read_to_string(&trace).expect("a trace");
    // Of a call that another thread interrupted, the line with the result.
    let ended = calls.lines().filter(|line| line.ends_with("= 0"));
    ended.filter(|line| line.contains("sync")).count()
}

fn check(kind: &str, name: &str) {
    let more = syncs(kind, name, MANY) - syncs(kind, name, FEW);
    assert!(
        more >= MANY - FEW,
        "{kind} {name}: {more} syncs for {} more",
        MANY - FEW
    );
}

#[test]
fn each_durable_append_has_a_sync() {
    if !may_trace() {
        return;
    }
    for peer in logs() {
        let dir = tempfile::tempdir().expect("a directory");
        let name = peer.name;
        let offered = peer.create(dir.path(), Reached::Durable).expect(name);
        if offered.is_some() {
            check("log", name);
        }
    }
}

#[test]
fn each_durable_put_has_a_sync() {
    if !may_trace() {
        return;
    }
    for store in stores() {
        let dir = tempfile::tempdir().expect("a directory");
        let name = store.name;
        let offered = store.open(dir.path(), Reached::Durable).expect(name);
        if offered.is_some() {
            check("store", name);
        }
    }
}
