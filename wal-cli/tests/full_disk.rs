//! A full disk: the line that does not fit is named, all lines before it are kept and synced, and once there is room appends
//! work again. Needs a small file system of its own, so root.

#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Lengths, Place, append, cat, odd_lines, run, skip, stat, verify, wal};

/// A file system of 7 MiB, unmounted when it is dropped.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(test: &str, place: &Place) -> Option<Self> {
        let path = place.root().join("disk");
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=7m", "wal-test"]);
        let mounted = mount.arg(&path).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self { path });
        }
        skip(test, "this user may not mount a small tmpfs");
        None
    }

    fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Takes space away, outside the log.
    fn fill(&self, bytes: usize) -> PathBuf {
        let filler = self.path.join("filler");
        fs::write(&filler, vec![1; bytes]).unwrap();
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

/// The number behind `word` in a message.
fn number_after(message: &str, word: &str) -> usize {
    let rest = &message[message.find(word).unwrap() + word.len()..];
    let digits = rest.find(|char: char| !char.is_ascii_digit()).unwrap();
    rest[..digits].parse().unwrap()
}

fn first_lines(lines: &[u8], count: usize) -> &[u8] {
    let parts = lines.split_inclusive(|byte| *byte == b'\n').take(count);
    &lines[..parts.map(<[u8]>::len).sum()]
}

fn is_met(test: &str, options: &[&str]) {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(test, &place) else {
        return;
    };
    let filler = disk.fill(2 << 20);
    let lines = odd_lines(31, 3_000, Lengths::Long);
    assert!(lines.len() > 4 << 20);
    let ended = append(&disk.log(), options, &lines).code(1).says(&[
        "no space left",
        "free space",
        &disk.log().display().to_string(),
    ]);
    let line = number_after(&ended.stderr, "line ");
    let kept = number_after(&ended.stderr, "appended ");
    assert_eq!(kept, line - 1);
    let before = first_lines(&lines, kept);
    assert!(before.len() > 1 << 20, "{} bytes", before.len());
    kept_and_closed(&disk.log(), before, kept);

    // Still full: nothing is accepted, nothing changes.
    fs::write(&filler, vec![1; 8 << 20]).unwrap_err();
    append(&disk.log(), options, &odd_lines(32, 3_000, Lengths::Long)).code(1);
    let now = cat(&disk.log(), &[]).code(0).stdout;
    assert!(now.starts_with(before));

    fs::remove_file(filler).unwrap();
    append(&disk.log(), options, b"there is room again\n").code(0);
    let whole = [&now, &b"there is room again\n"[..]].concat();
    assert!(cat(&disk.log(), &[]).code(0).stdout == whole);
}

fn kept_and_closed(log: &Path, lines: &[u8], count: usize) {
    assert!(cat(log, &[]).code(0).stdout == lines);
    let facts = stat(log);
    assert_eq!(facts["records"], count);
    assert_eq!(facts["clean_stop"], true, "{facts}");
    verify(log).code(0);
}

macro_rules! cases {
    ($($name:ident: $($option:literal)*;)*) => {$(
        #[test]
        fn $name() {
            is_met(stringify!($name), &["--segment-size", "1MiB" $(, $option)*]);
        }
    )*};
}

cases! {
    a_full_disk_under_always: "--fsync" "always";
    a_full_disk_under_batch: "--fsync" "batch:5ms";
    a_full_disk_under_os: "--fsync" "os";
    a_full_disk_without_preallocation_under_always: "--fsync" "always" "--no-preallocate";
    a_full_disk_without_preallocation_under_batch: "--fsync" "batch:5ms" "--no-preallocate";
    a_full_disk_without_preallocation_under_os: "--fsync" "os" "--no-preallocate";
}

#[test]
fn a_segment_that_never_fits() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount("a_segment_that_never_fits", &place) else {
        return;
    };
    append(&disk.log(), &["--segment-size", "64MiB"], b"one\n")
        .code(1)
        .says(&["line 1: ", "no space left", "appended 0 records"])
        .says(&["a smaller --segment-size"]);
    assert!(cat(&disk.log(), &[]).code(0).stdout.is_empty());
    append(&disk.log(), &["--segment-size", "1MiB"], b"one\n").code(0);
    assert_eq!(cat(&disk.log(), &[]).stdout, b"one\n");
}

#[test]
fn a_full_disk_can_still_be_recovered_and_read() {
    let test = "a_full_disk_can_still_be_recovered_and_read";
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(test, &place) else {
        return;
    };
    let options = ["--fsync", "always", "--ack", "--segment-size", "1MiB"];
    let mut live = common::live::Live::append(&disk.log(), &options);
    live.send(b"one\ntwo\n");
    assert_eq!((live.acked(), live.acked()), (1, 2));
    live.kill();
    let filler = disk.path.join("filler");
    // All that is left.
    let mut rest = 8 << 20;
    while rest > 0 && fs::write(&filler, vec![1; rest]).is_err() {
        rest -= 4096;
    }
    assert_eq!(cat(&disk.log(), &[]).code(0).stdout, b"one\ntwo\n");
    verify(&disk.log()).code(0);
    // The killed process had space that it did not use.
    append(&disk.log(), &["--segment-size", "1MiB"], b"three\n").code(0);
    assert_eq!(cat(&disk.log(), &[]).code(0).stdout, b"one\ntwo\nthree\n");
    fs::remove_file(filler).unwrap();
    append(&disk.log(), &["--segment-size", "1MiB"], b"four\n").code(0);
    let lines = cat(&disk.log(), &[]).code(0).stdout;
    assert_eq!(lines, b"one\ntwo\nthree\nfour\n");
}

#[test]
fn a_log_that_cannot_be_opened_is_truncated() {
    let place = Place::new();
    let test = "a_log_that_cannot_be_opened_is_truncated";
    let Some(disk) = SmallDisk::mount(test, &place) else {
        return;
    };
    // What a killed process leaves: whole records in its last segment that no sync has covered.
    let elsewhere = place.root().join("elsewhere");
    let config = wal_core::WalConfig {
        max_segment_size: 1 << 20,
        fsync_policy: wal_core::FsyncPolicy::Os,
        ..wal_core::WalConfig::default()
    };
    let log = wal_core::blocking::Wal::open(&elsewhere, config).unwrap();
    let line = |n: u64| format!("{n:0>1000}");
    for n in 1..=2_500 {
        log.append(wal_core::RecordRef::data(line(n).as_bytes()))
            .unwrap();
    }
    log.sync().unwrap();
    for n in 2_501..=2_800 {
        log.append(wal_core::RecordRef::data(line(n).as_bytes()))
            .unwrap();
    }
    log.flush().unwrap();
    fs::create_dir(disk.log()).unwrap();
    for file in fs::read_dir(&elsewhere).unwrap() {
        let name = file.unwrap().file_name();
        if name.to_string_lossy().ends_with(".wal") {
            fs::copy(elsewhere.join(&name), disk.log().join(&name)).unwrap();
        }
    }
    drop(log);
    fs::write(disk.path.join("filler"), vec![1; 8 << 20]).unwrap_err();
    append(&disk.log(), &[], b"one more\n").code(1);

    let truncate = |lsn: &str| {
        let mut command = wal();
        command.args(["truncate", "--json", "--before", lsn]);
        run(command.arg(disk.log()), b"").code(0).json()
    };
    let done = truncate("1500");
    assert_eq!(done["done"], "truncated");
    assert_eq!(done["first_lsn"], 1500);
    assert_eq!(done["records_dropped"], 1499);
    let left: String = (1500..=2_800).map(|n| line(n) + "\n").collect();
    assert!(cat(&disk.log(), &[]).code(0).stdout == left.as_bytes());
    // There is room to open it now.
    assert_eq!(truncate("1600")["first_lsn"], 1600);
    verify(&disk.log()).code(0);
}

/// A closed log of three segments, and then no byte is free.
fn closed_and_full(disk: &SmallDisk) -> Vec<u8> {
    let lines: Vec<u8> = (1..=2_000)
        .flat_map(|n| format!("{n:0>1000}\n").into_bytes())
        .collect();
    append(&disk.log(), &["--segment-size", "1MiB"], &lines).code(0);
    let filler = disk.path.join("filler");
    fs::write(&filler, vec![1; 8 << 20]).unwrap_err();
    lines
}

fn truncate(log: &Path, options: &[&str]) -> common::Ended {
    let mut command = wal();
    command.args(["truncate", "--json"]).args(options);
    run(command.arg(log), b"")
}

#[test]
fn with_no_byte_free_both_ends_can_be_truncated() {
    let place = Place::new();
    let test = "with_no_byte_free_both_ends_can_be_truncated";
    let Some(disk) = SmallDisk::mount(test, &place) else {
        return;
    };
    let lines = closed_and_full(&disk);
    let log = disk.log();
    let done = truncate(&log, &["--after", "1900"]).code(0).json();
    assert_eq!(
        (&done["done"], &done["last_lsn"]),
        (&"truncated".into(), &1900.into())
    );
    fs::write(disk.path.join("rest"), vec![1; 8 << 20]).unwrap_err();
    let done = truncate(&log, &["--before", "1500"]).code(0).json();
    assert_eq!(
        (&done["done"], &done["first_lsn"]),
        (&"truncated".into(), &1500.into())
    );
    assert!(cat(&log, &[]).code(0).stdout == lines[1499 * 1001..1900 * 1001]);
    verify(&log).code(0);
}

#[test]
fn with_no_byte_free_a_truncation_that_frees_nothing_says_where_the_log_starts() {
    let place = Place::new();
    let test = "with_no_byte_free_a_truncation_that_frees_nothing_says_where_the_log_starts";
    let Some(disk) = SmallDisk::mount(test, &place) else {
        return;
    };
    closed_and_full(&disk);
    let mut messages = Vec::new();
    for options in [&["--before", "3", "--dry-run"][..], &["--before", "3"]] {
        let ended = truncate(&disk.log(), options).code(1).says(&[
            "no space left",
            "the log still starts at LSN 1",
            "name a higher LSN",
        ]);
        // The command that has just failed is no advice.
        assert!(!ended.stderr.contains("wal truncate"), "{}", ended.stderr);
        messages.push(ended.stderr);
    }
    assert_eq!(messages[0], messages[1]);
    assert_eq!(stat(&disk.log())["first_lsn"], 1);
}

#[test]
fn a_repair_says_how_much_space_it_needs_before_it_begins() {
    let place = Place::new();
    let test = "a_repair_says_how_much_space_it_needs_before_it_begins";
    let Some(disk) = SmallDisk::mount(test, &place) else {
        return;
    };
    let log = disk.log();
    let lines = odd_lines(33, 700, Lengths::Long);
    append(&log, &["--segment-size", "1MiB"], &lines).code(0);
    let first = &common::files(&log, "wal")[0];
    common::overwrite(first, 10_000, b"\xFF\xFF\xFF");
    let repair = |options: &[&str]| run(wal().arg("repair").arg(&log).args(options), b"");
    let planned = repair(&["--dry-run", "--json"]).code(4).json();
    let needed = planned["bytes_needed"].as_u64().unwrap();
    assert!(needed > 1 << 20, "{planned}");
    let filler = disk.path.join("filler");
    fs::write(&filler, vec![1; 8 << 20]).unwrap_err();
    let names = || {
        let entries = fs::read_dir(&log).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = (names(), fs::read(first).unwrap());
    for options in [&["--dry-run"][..], &[]] {
        repair(options)
            .code(1)
            .says(&["no space left", &format!("needs {needed} bytes")]);
        assert!((names(), fs::read(first).unwrap()) == before);
    }
    fs::remove_file(filler).unwrap();
    let repaired = repair(&["--json"]).code(0).json();
    assert_eq!(repaired["bytes_needed"], needed);
    verify(&log).code(6);
}

/// The results of a dry run and of the real run, on a disk with this number of free bytes.
fn predicted(disk: &SmallDisk, free: usize, options: &[&str]) {
    let log = disk.log();
    fs::write(disk.path.join("rest"), vec![1; 8 << 20]).unwrap_err();
    let rest = disk.path.join("rest");
    let len = rest.metadata().unwrap().len() as usize;
    fs::write(&rest, vec![1; len.saturating_sub(free)]).unwrap();
    let dry = truncate(&log, &[options, &["--dry-run"]].concat());
    let real = truncate(&log, options);
    let case = format!(
        "{options:?} with {free} bytes: {} / {}",
        dry.stderr, real.stderr
    );
    assert_eq!(dry.code, real.code, "{case}");
    if real.code == Some(0) {
        let (dry, real) = (dry.json(), real.json());
        for field in ["records_dropped", "first_lsn", "last_lsn"] {
            assert_eq!(dry[field], real[field], "{field}: {case}");
        }
        assert_eq!(stat(&log)["first_lsn"], real["first_lsn"], "{case}");
        assert_eq!(
            dry["done"] == "nothing",
            real["done"] == "nothing",
            "{case}"
        );
    }
    fs::remove_file(rest).unwrap();
}

#[test]
fn a_dry_run_of_a_truncation_predicts_the_real_one() {
    let test = "a_dry_run_of_a_truncation_predicts_the_real_one";
    let mut numbers = common::Numbers::new(15);
    for _ in 0..6 {
        let place = Place::new();
        let Some(disk) = SmallDisk::mount(test, &place) else {
            return;
        };
        let count = 300 + numbers.below(1_500);
        let lines: Vec<String> = (1..=count).map(|n| format!("{n:0>1000}\n")).collect();
        let lines = lines.concat();
        append(&disk.log(), &["--segment-size", "1MiB"], lines.as_bytes()).code(0);
        for _ in 0..4 {
            let free = [0, 0, 512 << 10, 2 << 20][numbers.below(4) as usize];
            let lsn = numbers.below(count + 3).to_string();
            let option = ["--before", "--after"][usize::from(numbers.below(4) == 0)];
            predicted(&disk, free, &[option, &lsn]);
        }
    }
}

#[test]
fn an_upgrade_without_space_leaves_the_log_as_it_was() {
    let place = Place::new();
    let test = "an_upgrade_without_space_leaves_the_log_as_it_was";
    let Some(disk) = SmallDisk::mount(test, &place) else {
        return;
    };
    let options = ["--segment-size", "1MiB", "--format-version", "1"];
    append(&disk.log(), &options, b"one\ntwo\n").code(0);
    let filler = disk.path.join("filler");
    fs::write(&filler, vec![1; 6 << 20]).unwrap_err();
    let upgrade = || run(wal().arg("upgrade").arg(disk.log()), b"");
    upgrade()
        .code(1)
        .says(&["no space left for a segment of version 2"]);
    assert_eq!(stat(&disk.log())["format_versions"][0]["version"], 1);
    assert_eq!(cat(&disk.log(), &[]).code(0).stdout, b"one\ntwo\n");
    fs::remove_file(&filler).unwrap();
    upgrade().code(0);
    assert_eq!(stat(&disk.log())["format_versions"][1]["version"], 2);
    verify(&disk.log()).code(0);
}
