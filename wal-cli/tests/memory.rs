//! Memory does not grow with the log: reading, verifying and recovering it stay below 64 MiB.
//!
//! `WAL_TEST_LOG_MIB=4096` makes the log as large as the promise says.

#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Place, scale, stat, wal};

const MOST_KIB: u64 = 64 << 10;

/// Runs a command to its end with an empty input; its peak resident memory in KiB, sampled until it ends.
fn peak(command: &mut Command) -> u64 {
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        // The kernel keeps the peak itself, so only growth in the last moment can be missed.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(kib) = line.and_then(|line| line.split_whitespace().next()) {
            peak = peak.max(kib.parse().unwrap());
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        thread::sleep(Duration::from_micros(500));
    };
    assert!(ended.success(), "{command:?}");
    assert!(peak > 0);
    let seconds = begun.elapsed().as_secs_f64();
    let what = command
        .get_args()
        .next()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    let _ = writeln!(
        std::io::stderr(),
        "memory: {what}: {peak} KiB at most, {seconds:.2} s"
    );
    peak
}

/// Appends the given number of bytes, and is killed before it can close.
fn fill(log: &Path, bytes: u64) {
    let mut child = wal()
        .args(["append", "--fsync", "os"])
        .arg(log)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let piece: Vec<u8> = (0..8_192)
        .flat_map(|line| format!("line {line:0120}\n").into_bytes())
        .collect();
    for _ in 0..bytes / piece.len() as u64 {
        stdin.write_all(&piece).unwrap();
    }
    // The rest is handed over within a moment.
    thread::sleep(Duration::from_millis(200));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn reading_verifying_and_recovering_stay_below_64_mib() {
    let bytes = (scale("WAL_TEST_LOG_MIB", 256) as u64) << 20;
    let place = Place::new();
    let log = place.log();
    fill(&log, bytes);
    let facts = stat(&log);
    assert!(facts["bytes"].as_u64().unwrap() > bytes * 9 / 10, "{facts}");
    assert_eq!(facts["clean_stop"], false);
    let records = facts["records"].clone();

    assert!(peak(wal().arg("stat").arg(&log)) < MOST_KIB);
    assert!(peak(wal().arg("cat").arg(&log)) < MOST_KIB);
    assert!(peak(wal().arg("verify").arg(&log)) < MOST_KIB);
    // Opening it recovers it.
    assert!(peak(wal().arg("append").arg(&log)) < MOST_KIB);
    let facts = stat(&log);
    assert_eq!(facts["records"], records);
    assert_eq!(facts["clean_stop"], true);
    assert!(peak(wal().args(["cat", "--json"]).arg(&log)) < MOST_KIB);
    assert!(peak(wal().arg("verify").arg(&log)) < MOST_KIB);
}
