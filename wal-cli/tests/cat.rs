//! `wal cat`: every kind of record, as bytes and as JSON, all of the log or a part of it, beside a writer, into a closed pipe.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

use common::live::Live;
use common::{Lengths, Place, append, cat, odd_lines, run, verify, wal};
use serde_json::json;
use wal_core::blocking::Wal;
use wal_core::{Compression, Record, UnixMillis, WalConfig};

fn numbered(count: usize) -> Vec<u8> {
    (1..=count)
        .flat_map(|n| format!("line {n}\n").into_bytes())
        .collect()
}

#[test]
fn each_kind_of_record() {
    let place = Place::new();
    let wal = Wal::open(place.log(), WalConfig::default()).unwrap();
    let records = [
        Record::data("plain"),
        Record::put("key", "value").with_expiry(UnixMillis::new(4_102_444_800_000)),
        Record::delete("key"),
        Record::put(b"\xFFkey", b"\0\xFE"),
        Record::data(vec![b'z'; 1000]).with_compression(Compression::Zstd),
        Record::data(""),
    ];
    let positions: Vec<_> = records
        .iter()
        .map(|record| wal.append(record).unwrap())
        .collect();
    wal.close().unwrap();

    let zs = "z".repeat(1000);
    let expected = [b"plain\nvalue\n\0\xFE\n", zs.as_bytes(), b"\n\n"].concat();
    assert_eq!(cat(&place.log(), &[]).code(0).stdout, expected);

    let lines = cat(&place.log(), &["--json"]).code(0).json_lines();
    let at = |index: usize| {
        let position = positions[index];
        (
            position.lsn.get(),
            position.segment_id.get(),
            position.offset.get(),
        )
    };
    let parts = [
        json!({"kind": "data", "value": "plain"}),
        json!({"kind": "put", "key": "key", "value": "value", "expires_at_ms": 4_102_444_800_000_u64}),
        json!({"kind": "delete", "key": "key"}),
        json!({"kind": "put", "key_base64": "/2tleQ==", "value_base64": "AP4="}),
        json!({"kind": "data", "value": zs}),
        json!({"kind": "data", "value": ""}),
    ];
    assert_eq!(lines.len(), parts.len());
    for (index, mut expected) in parts.into_iter().enumerate() {
        let (lsn, segment_id, offset) = at(index);
        expected["lsn"] = json!(lsn);
        expected["segment_id"] = json!(segment_id);
        expected["offset"] = json!(offset);
        assert_eq!(lines[index], expected);
    }
}

#[test]
fn from_an_lsn_and_a_number_of_records() {
    let place = Place::new();
    let padded: Vec<u8> = (1..=5_000)
        .flat_map(|n| format!("line {n} {}\n", "x".repeat(500)).into_bytes())
        .collect();
    append(&place.log(), &["--segment-size", "1MiB"], &padded).code(0);
    let lines: Vec<&[u8]> = padded.split_inclusive(|byte| *byte == b'\n').collect();
    let part = |options: &[&str]| cat(&place.log(), options).code(0).stdout;

    assert!(part(&["--from", "0"]) == padded);
    assert!(part(&["--from", "1"]) == padded);
    for from in [2, 1_999, 2_000, 4_999, 5_000] {
        let expected = lines[from - 1..].concat();
        assert!(part(&["--from", &from.to_string()]) == expected, "{from}");
        let options = ["--from", &from.to_string(), "--limit", "3"];
        let expected = lines[from - 1..]
            .iter()
            .take(3)
            .copied()
            .collect::<Vec<_>>();
        assert!(part(&options) == expected.concat(), "{from}");
    }
    assert!(part(&["--limit", "2000"]) == lines[..2_000].concat());
    assert!(part(&["--limit", "9000"]) == padded);
    assert!(part(&["--limit", "0"]).is_empty());
    assert!(part(&["--from", "5001"]).is_empty());
    // Beyond the next record: an error, not an end.
    for from in ["5002", "18446744073709551615"] {
        let refused = cat(&place.log(), &["--from", from]).code(1);
        assert!(refused.stdout.is_empty());
        let told =
            format!("LSN {from} has not been given to a record yet; the next one will be LSN 5001");
        assert!(refused.stderr.contains(&told), "{}", refused.stderr);
    }
    let json = cat(&place.log(), &["--json", "--from", "7", "--limit", "2"]).json_lines();
    assert_eq!((&json[0]["lsn"], &json[1]["lsn"]), (&json!(7), &json!(8)));
    assert_eq!(json.len(), 2);
}

#[test]
fn records_that_were_truncated() {
    let place = Place::new();
    append(&place.log(), &[], &numbered(10)).code(0);
    let wal = Wal::open(place.log(), WalConfig::default()).unwrap();
    wal.truncate_before(4).unwrap();
    wal.close().unwrap();
    let rest = &numbered(10)[numbered(3).len()..];
    assert_eq!(cat(&place.log(), &[]).code(0).stdout, rest);
    assert_eq!(cat(&place.log(), &["--from", "4"]).code(0).stdout, rest);
    let ended = cat(&place.log(), &["--from", "3"]).code(1);
    assert!(ended.stdout.is_empty());
    ended.says(&["no longer in the log", "LSN 4"]);
    verify(&place.log()).code(0);
}

#[test]
fn a_reader_that_goes_away_is_a_normal_end() {
    let place = Place::new();
    append(&place.log(), &[], &odd_lines(5, 200_000, Lengths::Short)).code(0);
    for options in [&[][..], &["--json"]] {
        let mut child = wal()
            .arg("cat")
            .arg(place.log())
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = Vec::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_until(b'\n', &mut line).unwrap();
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stderr.is_empty());
    }
    for command in ["stat", "verify"] {
        let mut child = wal()
            .arg(command)
            .arg(place.log())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{command}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn standard_output_that_cannot_be_written_is_an_error() {
    let place = Place::new();
    append(&place.log(), &[], b"a line\n").code(0);
    for command in ["cat", "stat", "verify"] {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let mut child = wal()
            .arg(command)
            .arg(place.log())
            .stdout(full.unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{command}");
    }
}

#[test]
fn beside_a_writer_it_shows_what_was_handed_over() {
    for policy in ["always", "batch:2ms"] {
        let place = Place::new();
        let options = ["--fsync", policy, "--ack", "--segment-size", "1MiB"];
        let mut live = Live::append(&place.log(), &options);
        let filling = [b"y".repeat(9_999), vec![b'\n']].concat();
        for lsn in 1..=300 {
            live.send(&filling);
            assert_eq!(live.acked(), lsn);
            if lsn % 60 == 0 || lsn < 3 {
                let printed = cat(&place.log(), &[]).code(0).stdout;
                assert!(printed == filling.repeat(lsn as usize), "{policy} {lsn}");
            }
        }
        assert!(live.finish().0.success());
    }
}

#[test]
fn beside_a_writer_under_os_it_shows_a_record_within_a_moment() {
    let place = Place::new();
    let mut live = Live::append(&place.log(), &["--fsync", "os"]);
    live.send(b"one\n");
    let begun = std::time::Instant::now();
    loop {
        let ended = run(wal().arg("cat").arg(place.log()), b"");
        if ended.code == Some(0) && ended.stdout == b"one\n" {
            break;
        }
        assert!(begun.elapsed() < common::live::LONG, "{ended:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(live.finish().0.success());
}

#[test]
fn beside_a_writer_that_rotates_nothing_looks_damaged() {
    for policy in ["batch:1ms", "os"] {
        let place = Place::new();
        let options = ["--fsync", policy, "--ack", "--segment-size", "1MiB"];
        let mut live = Live::append(&place.log(), &options);
        live.send(b"0\n");
        while !place.log().exists() || place.files("wal").is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut stdin = live.take_stdin();
        let writing = std::thread::spawn(move || {
            for number in 1..=300 {
                let filling = "w".repeat(99_990);
                writeln!(stdin, "{number} {filling}").unwrap();
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let mut rounds = 0;
        while !writing.is_finished() || rounds == 0 {
            rounds += 1;
            let printed = cat(&place.log(), &[]).code(0).stdout;
            for (number, line) in printed.split_inclusive(|byte| *byte == b'\n').enumerate() {
                assert!(line.starts_with(number.to_string().as_bytes()) && line.ends_with(b"\n"));
            }
            run(wal().arg("stat").arg(place.log()), b"").code(0);
            // A write that is under way may look like a torn tail, but nothing like corruption.
            let verified = run(wal().arg("verify").arg(place.log()), b"");
            assert!(
                matches!(verified.code, Some(0 | 3)),
                "{policy}: {verified:?}"
            );
        }
        writing.join().unwrap();
        let (status, acks) = live.finish();
        assert!(status.success());
        assert!(acks.into_iter().eq(1..=301));
    }
}
