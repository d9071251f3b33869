//! What is not a log, or not a whole one: each is named, with where, what and what to do; nothing is written, nothing lost.

mod common;

use std::fs;
use std::path::Path;

use common::{Ended, Lengths, Place, append, cat, odd_lines, run, verify, wal};

/// Each command, on this directory.
fn each(dir: &Path) -> [(&'static str, Ended); 4] {
    ["append", "cat", "stat", "verify"]
        .map(|command| (command, run(wal().arg(command).arg(dir), b"a line\n")))
}

#[track_caller]
fn all_say(dir: &Path, code: i32, words: &[&str]) {
    for (_, ended) in each(dir) {
        assert!(ended.stdout.is_empty());
        ended
            .code(code)
            .says(&[&dir.display().to_string()])
            .says(words);
    }
}

/// Names and bytes of all files.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut contents: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with("lock"))
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    contents.sort();
    contents
}

/// A closed log of some nine segments, and its lines.
fn nine_segments(place: &Place) -> Vec<u8> {
    let lines = odd_lines(11, 4_000, Lengths::Long);
    append(&place.log(), &["--segment-size", "1MiB"], &lines).code(0);
    assert!(place.files("wal").len() > 6);
    lines
}

/// Segment `id` was damaged: reading ends before it with exit code 4, the lines before it are printed, and nobody changes a
/// byte. Returns how many bytes of `lines` were printed.
#[track_caller]
fn is_damaged(place: &Place, id: usize, lines: &[u8], words: &[&str]) -> usize {
    let log = place.log();
    let before = contents(&log);
    let named = format!("segment {id}");
    let ended = cat(&log, &[]).code(4).says(&[&named]).says(words);
    assert!(lines.starts_with(&ended.stdout));
    let ended_stat = run(wal().arg("stat").arg(&log).arg("--json"), b"");
    let ended_verify = verify(&log).code(4);
    let report = ended_verify.json();
    assert_eq!(report["verdict"], "corruption");
    let damage = &report["damage"][0];
    assert_eq!(damage["segment_id"], id, "{report}");
    for word in words {
        assert!(
            damage["message"].as_str().unwrap().contains(word),
            "{damage}"
        );
    }
    // Damage in the middle of a segment is not what `stat` and `append` look for; all other they refuse.
    if ended_stat.code == Some(4) {
        assert_eq!(ended_stat.json()["damage"]["segment_id"], id);
        append(&log, &[], b"more\n")
            .code(4)
            .says(&[&named])
            .says(words);
    } else {
        ended_stat.code(0);
    }
    assert!(contents(&log) == before, "a byte was changed");
    ended.stdout.len()
}

#[test]
fn a_directory_that_does_not_exist() {
    let place = Place::new();
    let dir = place.log();
    for command in ["cat", "stat", "verify"] {
        let ended = run(wal().arg(command).arg(&dir), b"").code(1);
        assert!(ended.stdout.is_empty());
        ended.says(&["not a log: it does not exist", &dir.display().to_string()]);
        assert!(!dir.exists());
    }
    append(&dir.join("deep/down"), &[], b"a line\n").code(0);
    assert_eq!(cat(&dir.join("deep/down"), &[]).stdout, b"a line\n");
}

#[test]
fn a_directory_that_is_not_a_log() {
    let place = Place::new();
    fs::create_dir(place.log()).unwrap();
    fs::write(place.log().join("notes.txt"), b"dear diary").unwrap();
    all_say(&place.log(), 1, &["not a log: \"notes.txt\" in it"]);
    assert_eq!(
        contents(&place.log()),
        [("notes.txt".to_owned(), b"dear diary".to_vec())]
    );
    assert!(!place.log().join("lock").exists());
}

#[test]
fn an_empty_directory() {
    let place = Place::new();
    fs::create_dir(place.log()).unwrap();
    for command in ["cat", "stat", "verify"] {
        run(wal().arg(command).arg(place.log()), b"")
            .code(1)
            .says(&["not a log", "it is empty"]);
    }
    assert!(contents(&place.log()).is_empty());
    append(&place.log(), &[], b"a line\n").code(0);
    assert_eq!(cat(&place.log(), &[]).stdout, b"a line\n");
}

#[test]
fn a_file_in_place_of_the_directory() {
    let place = Place::new();
    fs::write(place.log(), b"dear diary").unwrap();
    all_say(&place.log(), 1, &["not a log: it is a file"]);
    all_say(&place.log().join("below"), 1, &["not a log"]);
    assert_eq!(fs::read(place.log()).unwrap(), b"dear diary");
}

#[test]
fn a_foreign_file_among_the_segments() {
    let place = Place::new();
    let lines = nine_segments(&place);
    let foreign = place.log().join("notes.txt");
    fs::write(&foreign, b"dear diary").unwrap();
    let before = contents(&place.log());
    all_say(&place.log(), 1, &["\"notes.txt\" in it is not the log's"]);
    assert!(contents(&place.log()) == before);
    fs::remove_file(&foreign).unwrap();
    assert!(cat(&place.log(), &[]).code(0).stdout == lines);

    // Hidden files belong to file managers and editors: they do no harm.
    fs::write(place.log().join(".directory"), b"").unwrap();
    assert!(cat(&place.log(), &[]).code(0).stdout == lines);
}

#[test]
fn messages_name_commands_and_no_calls() {
    let place = Place::new();
    let log = place.log();
    let says = |subcommand: &str, code: i32, words: &[&str]| {
        let ended = run(wal().arg(subcommand).arg(&log), b"x\n")
            .code(code)
            .says(words);
        for call in [
            "read-only",
            "read_only",
            "open it",
            "when opening",
            "record_limit",
            "()",
        ] {
            assert!(
                !ended.stderr.contains(call),
                "{call:?} is in: {}",
                ended.stderr
            );
        }
        ended
    };
    let dir = log.display();
    for subcommand in ["cat", "stat", "verify", "repair"] {
        says(
            subcommand,
            1,
            &[&format!(
                "it does not exist; `wal append {dir}` creates a log"
            )],
        );
    }
    fs::create_dir(&log).unwrap();
    for subcommand in ["cat", "stat", "verify"] {
        says(
            subcommand,
            1,
            &[&format!("it is empty; `wal append {dir}` creates a log")],
        );
    }
    let mut live = common::live::Live::append(
        &log,
        &["--ack", "--segment-size", "1MiB", "--fsync", "always"],
    );
    live.send(b"a line\n");
    live.acked();
    says("append", 5, &["locked by process", "`wal cat`"]);
    live.kill();
    nine_segments(&place);
    fs::remove_file(&place.files("wal")[4]).unwrap();
    for subcommand in ["append", "cat"] {
        says(
            subcommand,
            4,
            &["is missing", &format!("run `wal repair {dir}`")],
        );
    }
    let stat = says("stat", 4, &[]);
    assert!(
        stat.text().contains(&format!("run `wal repair {dir}`")),
        "{}",
        stat.text()
    );
}

#[test]
fn a_stores_directory_is_recognised_and_its_files_are_left_alone() {
    let place = Place::new();
    let log = place.log();
    append(&log, &["--segment-size", "1MiB"], b"one\n").code(0);
    let marker = log.join("kv-store");
    fs::write(&marker, b"a marker").unwrap();
    let before = contents(&log);
    for subcommand in ["append", "cat", "stat", "verify", "repair"] {
        let ended = run(wal().arg(subcommand).arg(&log), b"x\n").code(1).says(&[
            "not a plain log but a wal-kv store",
            "leave its files where they are",
        ]);
        for advice in ["move it", "elsewhere", "another directory"] {
            assert!(!ended.stderr.contains(advice), "{}", ended.stderr);
        }
    }
    assert!(contents(&log) == before);
}

#[test]
fn a_segment_of_a_later_version() {
    let place = Place::new();
    nine_segments(&place);
    let segment = &place.files("wal")[2];
    let mut bytes = fs::read(segment).unwrap();
    bytes[12..16].copy_from_slice(&7_u32.to_le_bytes());
    bytes[8..12].fill(0);
    let checksum = crc32(&bytes[..4096]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    fs::write(segment, &bytes).unwrap();
    let before = contents(&place.log());
    all_say(
        &place.log(),
        1,
        &["segment 3 has format version 7, this build reads versions up to 2"],
    );
    assert!(contents(&place.log()) == before);
}

/// The checksum of the format, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}

#[test]
fn a_segment_without_its_header() {
    let place = Place::new();
    let lines = nine_segments(&place);
    let segment = &place.files("wal")[3];
    let mut bytes = fs::read(segment).unwrap();
    bytes[..4096].fill(0);
    fs::write(segment, &bytes).unwrap();
    let printed = is_damaged(&place, 4, &lines, &["offset 0", "header"]);
    assert!(printed > 2 << 20, "{printed}");
}

#[test]
fn the_newest_segment_without_its_header() {
    let place = Place::new();
    let lines = nine_segments(&place);
    let segments = place.files("wal");
    fs::write(segments.last().unwrap(), b"WALSEG\r\n").unwrap();
    let printed = is_damaged(&place, segments.len(), &lines, &["offset 0", "header"]);
    assert!(printed > (segments.len() - 2) << 20, "{printed}");
}

#[test]
fn a_segment_cut_short() {
    let place = Place::new();
    let lines = nine_segments(&place);
    let segment = fs::File::options().write(true).open(&place.files("wal")[3]);
    segment.unwrap().set_len(500_000).unwrap();
    let printed = is_damaged(&place, 4, &lines, &["corruption"]);
    assert!(printed > 3 << 20, "{printed}");
}

#[test]
fn the_newest_segment_cut_short() {
    for options in [&[][..], &["--no-preallocate"]] {
        let place = Place::new();
        let lines = odd_lines(11, 1_000, Lengths::Long);
        let options = [&["--segment-size", "1MiB"], options].concat();
        append(&place.log(), &options, &lines).code(0);
        let segments = place.files("wal");
        let segment = fs::File::options()
            .write(true)
            .open(segments.last().unwrap());
        segment.unwrap().set_len(10_000).unwrap();
        let words = ["corruption", "cut short to 10000 bytes"];
        let printed = is_damaged(&place, segments.len(), &lines, &words);
        assert!(printed > (segments.len() - 1) * 900_000, "{printed}");
    }
}

#[test]
fn a_flipped_bit_in_a_record() {
    let place = Place::new();
    let lines = nine_segments(&place);
    let segment = &place.files("wal")[3];
    let mut bytes = fs::read(segment).unwrap();
    bytes[500_000] ^= 1;
    fs::write(segment, &bytes).unwrap();
    let printed = is_damaged(&place, 4, &lines, &["corruption", "checksum"]);
    assert!(printed > 3 << 20, "{printed}");
}

#[test]
fn a_segment_that_is_missing() {
    let place = Place::new();
    let lines = nine_segments(&place);
    fs::remove_file(&place.files("wal")[3]).unwrap();
    let printed = is_damaged(
        &place,
        4,
        &lines,
        &["segment 4 is missing", "put the file back"],
    );
    assert!(printed > 2 << 20, "{printed}");
    // What lies above the gap can be read when it is asked for.
    let last = cat(&place.log(), &["--from", "3990", "--limit", "11"]).code(0);
    assert!(lines.ends_with(&last.stdout) && !last.stdout.is_empty());
}

#[test]
fn the_oldest_segment_is_missing() {
    let place = Place::new();
    let lines = nine_segments(&place);
    fs::remove_file(&place.files("wal")[0]).unwrap();
    assert_eq!(is_damaged(&place, 1, &lines, &["segment 1 is missing"]), 0);
}

#[test]
fn the_newest_segment_is_missing() {
    let place = Place::new();
    let lines = nine_segments(&place);
    let segments = place.files("wal");
    fs::remove_file(segments.last().unwrap()).unwrap();
    let printed = is_damaged(&place, segments.len(), &lines, &["is missing"]);
    assert!(printed > (segments.len() - 2) << 20, "{printed}");
}

#[test]
fn a_segment_of_another_log() {
    let place = Place::new();
    let lines = nine_segments(&place);
    let other = Place::new();
    nine_segments(&other);
    fs::copy(&other.files("wal")[3], &place.files("wal")[3]).unwrap();
    let printed = is_damaged(&place, 4, &lines, &["belongs to log"]);
    assert!(printed > 2 << 20, "{printed}");
}

#[test]
fn options_out_of_range() {
    let place = Place::new();
    for (options, words) in [
        (
            ["--segment-size", "512KiB"],
            "--segment-size is 524288 bytes, allowed is 1048576 to 4294967296",
        ),
        (
            ["--segment-size", "5GiB"],
            "--segment-size is 5368709120 bytes",
        ),
        (
            ["--segment-size", "lots"],
            "a size is a whole number of bytes",
        ),
        (["--fsync", "batch:0ms"], "--fsync is"),
        (["--fsync", "batch:61s"], "at most 1 minute"),
        (
            ["--fsync", "batch:5"],
            "a time is a whole number and us, ms or s",
        ),
        (["--fsync", "never"], "use always, batch:TIME"),
        (
            ["--compression", "gzip"],
            "possible values: none, lz4, zstd",
        ),
    ] {
        append(&place.log(), &options, b"a line\n")
            .code(2)
            .says(&[words]);
        assert!(!place.log().exists(), "{options:?}");
    }
    for args in [
        &[][..],
        &["append"],
        &["cat", "log", "--from", "x"],
        &["drop", "log"],
    ] {
        run(wal().args(args), b"").code(2);
    }
}

/// Runs a command whose standard output has no reader.
fn unread(subcommand: &str, dir: &Path, options: &[&str]) -> Option<i32> {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = wal();
    command
        .arg(subcommand)
        .arg(dir)
        .args(options)
        .stdout(writer);
    command
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
        .code()
}

#[test]
fn no_exit_code_reports_success_because_nobody_reads_the_report() {
    let place = Place::new();
    let log = place.log();
    nine_segments(&place);
    for subcommand in ["stat", "verify", "cat"] {
        assert_eq!(unread(subcommand, &log, &[]), Some(0), "{subcommand}");
    }
    fs::remove_file(&place.files("wal")[4]).unwrap();
    for options in [&[][..], &["--json"]] {
        for subcommand in ["stat", "verify"] {
            assert_eq!(unread(subcommand, &log, options), Some(4), "{subcommand}");
        }
        assert_eq!(
            unread("repair", &log, &[options, &["--dry-run"]].concat()),
            Some(4)
        );
        assert_eq!(
            unread("truncate", &log, &[options, &["--before", "2"]].concat()),
            Some(4)
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_exit_code_reports_success_where_the_report_could_not_be_written() {
    let place = Place::new();
    let log = place.log();
    nine_segments(&place);
    for (subcommand, options) in [
        ("stat", &[][..]),
        ("verify", &["--json"]),
        ("cat", &["--limit", "1"]),
        ("repair", &["--dry-run"]),
        ("truncate", &["--before", "2", "--dry-run"]),
        ("append", &["--ack"]),
    ] {
        let mut command = wal();
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        command.arg(subcommand).arg(&log).args(options).stdout(full);
        let mut child = command
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let _ = std::io::Write::write_all(&mut stdin, b"one more\n");
        drop(stdin);
        let ended = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{subcommand}: {stderr}");
        assert!(
            stderr.contains("writing standard output"),
            "{subcommand}: {stderr}"
        );
    }
}
