//! `wal append`: what it prints, when it acknowledges, and what it does with lines that it cannot take.

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::live::Live;
use common::{Place, append, cat, run, stat, verify, wal};

#[test]
fn it_says_how_many_records_and_bytes_and_how_long() {
    let place = Place::new();
    let ended = append(&place.log(), &[], b"one\n\nthree").code(0);
    assert!(ended.stdout.is_empty());
    let ended = ended.says(&["wal: appended 3 records, 8 bytes in 0."]);
    assert!(ended.stderr.ends_with(" s\n"), "{}", ended.stderr);
    assert_eq!(
        ended.stderr.lines().count(),
        1,
        "no progress bar without a terminal"
    );
}

#[test]
fn under_always_a_line_typed_by_hand_is_acknowledged_at_once() {
    let place = Place::new();
    let mut live = Live::append(&place.log(), &["--fsync", "always", "--ack"]);
    for lsn in 1..=20 {
        live.send(b"a line\n");
        assert_eq!(live.acked(), lsn);
    }
    let (status, rest) = live.finish();
    assert!(status.success());
    assert!(rest.is_empty());
}

#[test]
fn under_batch_a_line_is_acknowledged_when_its_window_is_over() {
    let place = Place::new();
    let mut live = Live::append(&place.log(), &["--fsync", "batch:5ms", "--ack"]);
    for lsn in 1..=20 {
        live.send(b"a line\n");
        assert_eq!(live.acked(), lsn);
    }
    assert!(live.finish().1.is_empty());

    let mut live = Live::append(&place.log(), &["--fsync", "batch:1s", "--ack"]);
    live.send(b"1\n2\n3\n");
    live.silent(Duration::from_millis(300));
    assert_eq!([live.acked(), live.acked(), live.acked()], [21, 22, 23]);
    assert!(live.finish().1.is_empty());
}

#[test]
fn under_os_lines_are_acknowledged_at_rotation_and_at_the_end() {
    let place = Place::new();
    let options = ["--fsync", "os", "--ack", "--segment-size", "1MiB"];
    let mut live = Live::append(&place.log(), &options);
    live.send(b"a line\n");
    live.silent(Duration::from_millis(300));
    let filling = [b"x".repeat(999), vec![b'\n']].concat();
    live.send(&filling.repeat(1_500));
    assert_eq!(live.acked(), 1);
    let (status, rest) = live.finish();
    assert!(status.success());
    assert_eq!(rest, (2..=1_501).collect::<Vec<_>>());
}

#[test]
fn a_line_is_not_a_record_before_it_ends() {
    let place = Place::new();
    let mut live = Live::append(&place.log(), &["--fsync", "always", "--ack"]);
    live.send(b"half a ");
    live.silent(Duration::from_millis(100));
    live.send(b"line\nand the next");
    assert_eq!(live.acked(), 1);
    live.silent(Duration::from_millis(100));
    assert_eq!(live.finish().1, [2]);
    let printed = cat(&place.log(), &[]).stdout;
    assert_eq!(printed, b"half a line\nand the next\n");
}

#[test]
fn acknowledgements_are_in_order_and_each_is_printed_once() {
    for policy in ["always", "batch:1ms", "os"] {
        let place = Place::new();
        let options = ["--fsync", policy, "--ack", "--segment-size", "1MiB"];
        let lines = if policy == "always" { 300 } else { 50_000 };
        for round in 0..2 {
            let ended = append(&place.log(), &options, &b"some line\n".repeat(lines)).code(0);
            let first = round * lines + 1;
            let lsns = ended
                .text()
                .lines()
                .map(|line| line.parse::<usize>().unwrap());
            assert!(lsns.eq(first..first + lines), "{policy}");
        }
    }
}

#[test]
fn without_a_reader_of_the_acknowledgements_the_lines_are_still_appended() {
    for policy in ["always", "batch:1ms", "os"] {
        let place = Place::new();
        let mut child = wal()
            .args(["append", "--ack", "--fsync", policy])
            .arg(place.log())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().unwrap();
        for _ in 0..500 {
            std::io::Write::write_all(&mut stdin, b"a line\n").unwrap();
        }
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{policy}: {output:?}");
        assert_eq!(stat(&place.log())["records"], 500);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn acknowledgements_that_cannot_be_written_are_an_error() {
    for policy in ["always", "batch:1ms", "os"] {
        let place = Place::new();
        let full = std::fs::File::options().write(true).open("/dev/full");
        let mut child = wal()
            .args(["append", "--ack", "--fsync", policy])
            .arg(place.log())
            .stdin(Stdio::piped())
            .stdout(full.unwrap())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"a line\n").unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{policy}: {stderr}");
        assert!(stderr.contains("writing standard output"), "{stderr}");
        assert_eq!(stat(&place.log())["records"], 1);
    }
}

#[test]
fn a_line_too_long_for_the_segments_is_named_and_the_lines_before_it_are_kept() {
    let place = Place::new();
    let mut input = b"one\ntwo\n".to_vec();
    input.extend(vec![b'x'; 2 << 20]);
    input.extend(b"\nfour\n");
    let options = ["--segment-size", "1MiB", "--fsync", "os"];
    append(&place.log(), &options, &input).code(1).says(&[
        "line 3 has 2097152 bytes",
        "the lines before it are kept",
        "appended 2 records",
        "--segment-size",
    ]);
    assert_eq!(cat(&place.log(), &[]).code(0).stdout, b"one\ntwo\n");
    assert_eq!(stat(&place.log())["clean_stop"], true);
    append(&place.log(), &options, b"three\n").code(0);
    assert_eq!(cat(&place.log(), &[]).stdout, b"one\ntwo\nthree\n");
}

#[test]
fn an_endless_line_ends_at_the_limit_of_any_record() {
    let place = Place::new();
    let mut input = b"one\n".to_vec();
    input.extend(vec![b'x'; (64 << 20) + 1]);
    append(&place.log(), &[], &input)
        .code(1)
        .says(&["line 2 is too long", "67108864 bytes"]);
    assert_eq!(cat(&place.log(), &[]).code(0).stdout, b"one\n");
}

#[test]
fn the_longest_line_is_taken() {
    let place = Place::new();
    let mut input = vec![b'x'; 64 << 20];
    input.push(b'\n');
    append(&place.log(), &[], &input).code(0);
    assert!(cat(&place.log(), &[]).code(0).stdout == input);
    verify(&place.log()).code(0);
}

#[test]
fn compression_makes_the_log_smaller() {
    let input = b"the same words again and again and again and again\n"
        .repeat(4)
        .repeat(1_000);
    let bytes = |compression| {
        let place = Place::new();
        // One long line compresses; a short one is stored as it is.
        let line: Vec<u8> = input
            .iter()
            .filter(|byte| **byte != b'\n')
            .copied()
            .collect();
        append(&place.log(), &["--compression", compression], &line).code(0);
        let record = cat(&place.log(), &[]).code(0).stdout;
        assert!(record[..record.len() - 1] == line);
        stat(&place.log())["bytes"].as_u64().unwrap()
    };
    let (none, lz4, zstd) = (bytes("none"), bytes("lz4"), bytes("zstd"));
    assert!(lz4 < none / 10 && zstd < none / 10, "{none} {lz4} {zstd}");
}

#[test]
fn a_log_that_is_open_elsewhere_is_locked_and_its_holder_named() {
    let place = Place::new();
    let mut live = Live::append(&place.log(), &["--fsync", "always", "--ack"]);
    live.send(b"one\n");
    assert_eq!(live.acked(), 1);
    append(&place.log(), &[], b"two\n")
        .code(5)
        .says(&["locked by process", &live.pid().to_string()]);
    live.send(b"three\n");
    assert_eq!(live.acked(), 2);
    assert!(live.finish().0.success());
    assert_eq!(cat(&place.log(), &[]).stdout, b"one\nthree\n");
    append(&place.log(), &[], b"four\n").code(0);
}

#[test]
fn after_a_kill_it_says_what_it_recovered() {
    let place = Place::new();
    let mut live = Live::append(&place.log(), &["--fsync", "always", "--ack"]);
    live.send(b"one\n");
    assert_eq!(live.acked(), 1);
    live.kill();
    append(&place.log(), &[], b"two\n")
        .code(0)
        .says(&["the log was not closed: recovered 1 records, the last one is LSN 1"]);
    assert_eq!(cat(&place.log(), &[]).stdout, b"one\ntwo\n");
}

#[test]
fn the_help_shows_exit_codes_and_an_example() {
    let help = run(wal().arg("--help"), b"").code(0);
    for code in 0..=5 {
        assert!(help.text().contains(&format!("\n  {code}  ")), "{code}");
    }
    for command in ["append", "cat", "stat", "verify"] {
        let help = run(wal().args([command, "--help"]), b"").code(0);
        assert!(help.text().contains("Example:\n"), "{command}");
        assert!(
            help.text().contains(&format!("wal {command} mylog")),
            "{command}"
        );
    }
    let version = run(wal().arg("--version"), b"").code(0);
    assert_eq!(
        version.text(),
        format!("wal {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_log_keeps_its_segment_size() {
    let place = Place::new();
    let log = place.log();
    append(&log, &["--segment-size", "1MiB"], b"one\n").code(0);
    let longest = || {
        let files = place.files("wal");
        files
            .iter()
            .map(|file| file.metadata().unwrap().len())
            .max()
            .unwrap()
    };
    // While it is open, the newest segment has its whole length.
    let mut live = Live::append(&log, &["--fsync", "always", "--ack"]);
    live.send(b"two\n");
    assert_eq!(live.acked(), 2);
    assert_eq!(longest(), 1 << 20);
    live.kill();
    let truncate = |option: &str, lsn: &str| {
        run(wal().arg("truncate").arg(&log).args([option, lsn]), b"").code(0);
        assert!(longest() <= 1 << 20, "truncate {option} {lsn}");
    };
    truncate("--after", "1");
    truncate("--before", "2");
    append(&log, &["--segment-size", "2MiB"], b"three\n").code(0);
    append(&log, &[], &vec![b'x'; 1_500_000]).code(0);
}

#[test]
fn a_log_of_another_node_is_reported() {
    let place = Place::new();
    let log = place.log();
    let node =
        |id: &str| append(&log, &["--segment-size", "1MiB", "--node-id", id], b"one\n").code(0);
    assert!(!node("7").stderr.contains("node"));
    assert!(!append(&log, &[], b"two\n").code(0).stderr.contains("node"));
    node("8").says(&["the log was created by node 7, and this is node 8"]);
    assert_eq!(stat(&log)["other_node_ids"], serde_json::json!([7]));
    let text = run(wal().arg("stat").arg(&log), b"").code(0);
    assert!(text.text().contains("7: it has written to the log too"));
}
