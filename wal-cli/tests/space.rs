//! The space that a log takes on disk after many killed writers. `WAL_TEST_EXITS=300` sets their number.

#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use common::live::Live;
use common::{Place, append, cat, run, scale, verify, wal};

const SEGMENT: u64 = 8 << 20;
const OPTIONS: [&str; 5] = ["--segment-size", "8MiB", "--fsync", "always", "--ack"];
/// Room for one segment's link, a mebibyte of records and a footer.
const RESERVE: u64 = 3 << 20;

/// Bytes that the directory's files take on disk.
fn taken(log: &Path) -> u64 {
    let files = fs::read_dir(log).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().blocks() * 512)
        .sum()
}

/// A writer of `lines` lines from `first` on, killed when all are acknowledged.
fn killed(log: &Path, first: u64, lines: u64) {
    let mut writer = Live::append(log, &OPTIONS);
    for line in first..first + lines {
        writer.send(format!("{line}\n").as_bytes());
    }
    for _ in 0..lines {
        writer.acked();
    }
    writer.kill();
}

#[test]
fn space_does_not_grow_with_killed_writers() {
    let place = Place::new();
    let log = place.log();
    let exits = scale("WAL_TEST_EXITS", 40) as u64;
    for n in 0..exits {
        match n % 4 {
            3 => drop(append(&log, &OPTIONS[..4], format!("{n}\n").as_bytes()).code(0)),
            _ => killed(&log, n, 1),
        }
        let taken = taken(&log);
        // The killed one and the one made ready; and two blocks for each line.
        let most = 3 * SEGMENT + RESERVE + (n + 1) * 12 * 1024;
        assert!(taken <= most, "after {n} exits: {taken} bytes of {most}");
    }
    append(&log, &OPTIONS[..4], b"last\n").code(0);
    let taken = taken(&log);
    let most = RESERVE + (exits + 2) * 12 * 1024;
    assert!(taken <= most, "after a clean close: {taken} bytes");
    let ended = cat(&log, &[]).code(0);
    assert_eq!(ended.text().lines().count() as u64, exits + 1);
    verify(&log).code(0);
}

#[test]
fn a_segment_that_lost_its_rest_can_be_read_by_every_command() {
    let place = Place::new();
    let log = place.log();
    for n in 0..3 {
        killed(&log, n * 10, 10);
    }
    append(&log, &OPTIONS[..4], b"last\n").code(0);
    let short = place.files("wal").into_iter().filter(|file| {
        let len = fs::metadata(file).unwrap().len();
        len < SEGMENT / 2
    });
    assert!(short.count() >= 3);
    for command in ["stat", "verify", "cat"] {
        run(wal().arg(command).arg(&log), b"").code(0);
    }
    run(wal().arg("repair").arg(&log), b"").code(0);
    assert_eq!(
        cat(&log, &[])
            .code(0)
            .stdout
            .split(|byte| *byte == b'\n')
            .count(),
        32
    );
}
