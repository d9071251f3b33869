//! `kill -9` at random moments: no acknowledged record is missing, nothing is invented, the order is kept.
//!
//! `WAL_TEST_KILLS=200` sets the number of kills, `WAL_TEST_SEED` their moments; a failure prints the seed.

mod common;

use std::io::Write;
use std::path::Path;
use std::process::ChildStdin;
use std::thread;
use std::time::Duration;

use common::live::Live;
use common::{Numbers, Place, append, cat, run, scale, wal};

/// The `number`th line ever sent, known from its number alone.
fn line(number: u64) -> Vec<u8> {
    let mut numbers = Numbers::new(number);
    let long = numbers.below(20) == 0;
    let len = numbers.below(if long { 30_000 } else { 200 });
    let mut line = format!("{number} ").into_bytes();
    line.extend((0..len).map(|at| b'a' + (at % 26) as u8));
    line.push(b'\n');
    line
}

/// Lines sent between two kills.
const LINES: u64 = 2_000;

/// Sends lines until there are enough or the writer is gone; the number of the last one that was sent at least in part, and the
/// input, which stays open.
fn send_from(first: u64, mut stdin: ChildStdin) -> (u64, ChildStdin) {
    for number in first..first + LINES {
        if stdin.write_all(&line(number)).is_err() {
            return (number, stdin);
        }
    }
    (first + LINES - 1, stdin)
}

/// How many lines the log holds: exactly the first ones, in order, each whole.
fn whole_lines(log: &Path, context: &str) -> u64 {
    if !log.exists() {
        return 0;
    }
    let ended = run(wal().arg("cat").arg(log), b"");
    if ended.code == Some(1) && ended.stderr.contains("there is no segment in it") {
        return 0;
    }
    assert_eq!(ended.code, Some(0), "{context}: {}", ended.stderr);
    let mut count = 0;
    for found in ended.stdout.split_inclusive(|byte| *byte == b'\n') {
        count += 1;
        assert!(found == line(count), "{context}: line {count} is another");
    }
    count
}

fn survives(policy: &str, kills: usize) {
    let seed = scale("WAL_TEST_SEED", 1) as u64;
    let mut moments = Numbers::new(seed);
    let place = Place::new();
    let log = place.log();
    let options = ["--fsync", policy, "--ack", "--segment-size", "1MiB"];
    let (mut present, mut acknowledged) = (0, 0);
    for kill in 0..kills {
        let context = format!("{policy}, kill {kill}, WAL_TEST_SEED={seed}");
        let mut live = Live::append(&log, &options);
        let stdin = live.take_stdin();
        let sender = thread::spawn(move || send_from(present + 1, stdin));
        // Some while the log is being opened, most while lines come in.
        let limit = if moments.below(4) == 0 { 5_000 } else { 60_000 };
        thread::sleep(Duration::from_micros(moments.below(limit)));
        // What another process sees was handed over: a kill cannot take it back.
        let handed_over = if policy == "always" {
            0
        } else {
            whole_lines(&log, &context)
        };
        let acks = live.kill();
        let (sent, _stdin) = sender.join().unwrap();

        let expected = acknowledged.max(present) + 1;
        assert!(
            acks.iter()
                .copied()
                .eq(expected..expected + acks.len() as u64),
            "{context}"
        );
        acknowledged = acks.last().copied().unwrap_or(acknowledged);
        // As another process sees it, and as the next writer finds it.
        let shown = whole_lines(&log, &context);
        let verified = run(wal().arg("verify").arg(&log), b"");
        if log.exists() && shown > 0 {
            assert!(
                matches!(verified.code, Some(0 | 3)),
                "{context}: {verified:?}"
            );
        }
        assert!(
            shown >= acknowledged,
            "{context}: {shown} of {acknowledged}"
        );
        assert!(
            shown >= handed_over,
            "{context}: {shown} of {handed_over} seen"
        );
        assert!(shown >= present, "{context}: {shown} of {present} kept");
        assert!(shown <= sent, "{context}: {shown} of {sent} sent");
        present = shown;
        if kill % 10 == 9 {
            append(&log, &options, b"").code(0);
            assert_eq!(whole_lines(&log, &context), present, "{context}");
        }
    }
    assert!(present > 0, "nothing was ever appended");
    if policy == "always" {
        assert!(acknowledged > 0, "nothing was ever acknowledged");
    }
    append(&log, &options, b"").code(0);
    assert_eq!(
        cat(&log, &["--json", "--limit", "1"]).json_lines()[0]["lsn"],
        1
    );
    let verified = run(wal().arg("verify").arg(&log), b"").code(0);
    assert!(
        verified
            .text()
            .contains(&format!("records      {present}\n"))
    );
}

#[test]
fn under_always_no_acknowledged_record_is_missing() {
    survives("always", scale("WAL_TEST_KILLS", 40));
}

#[test]
fn under_batch_no_record_that_was_handed_over_is_missing() {
    survives("batch:2ms", scale("WAL_TEST_KILLS", 40) / 2);
}

#[test]
fn under_os_no_record_that_was_handed_over_is_missing() {
    survives("os", scale("WAL_TEST_KILLS", 40) / 2);
}
