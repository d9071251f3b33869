//! What a log of version 2 can do with no byte free, on real file systems: a number of truncations, each with a record, and of small
//! records, over several processes, of which some are killed. Needs small file systems of its own, so root.

#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Place, skip};
use wal_core::blocking::Wal;
use wal_core::{Alignment, Error, FormatVersion, FsyncPolicy, Lsn, RecordRef, WalConfig};

const MIB: u64 = 1 << 20;
const TRUNCATIONS: u64 = 16;
const RECORDS: u64 = 64;

#[derive(Clone, Copy, Debug)]
enum FileSystem {
    Tmpfs,
    Ext4,
}

/// A small file system, unmounted when it is dropped.
struct Disk {
    path: PathBuf,
}

fn runs(command: &mut Command) -> bool {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl Disk {
    fn mount(test: &str, place: &Place, kind: FileSystem, size: u64) -> Option<Self> {
        let path = place.root().join("disk");
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        match kind {
            FileSystem::Tmpfs => {
                mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "wal-test"]);
            }
            FileSystem::Ext4 => {
                let image = place.root().join("image");
                fs::File::create(&image).unwrap().set_len(size).unwrap();
                let mut make = Command::new("mkfs.ext4");
                // Without blocks that only root may use.
                if !runs(make.args(["-q", "-m", "0"]).arg(&image)) {
                    skip(test, "there is no mkfs.ext4");
                    return None;
                }
                mount.args(["-o", "loop"]).arg(image);
            }
        }
        if runs(mount.arg(&path)) {
            return Some(Self { path });
        }
        skip(test, "this user may not mount a small file system");
        None
    }

    fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Takes all space that is left.
    fn fill(&self) {
        let mut filler = fs::File::options();
        let mut filler = filler.append(true).create(true).open(self.filler());
        let filler = filler.as_mut().unwrap();
        for piece in [1 << 20, 4096, 1] {
            let bytes = vec![1; piece];
            // Space that was just freed may take a moment to come.
            while filler.write_all(&bytes).is_ok() {}
            let _ = filler.sync_all();
        }
        let refused = filler.write_all(&[1; 8192]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

/// What a process does with the log.
#[derive(Clone, Copy, Debug)]
struct Session {
    segment: u64,
    padding: u32,
    truncations: u64,
    records: u64,
    killed: bool,
}

const SESSION: &str = "WAL_TEST_SESSION";
const DIRECTORY: &str = "WAL_TEST_DIRECTORY";

impl Session {
    fn run_in_process(self, log: &Path) {
        let Self {
            segment,
            padding,
            truncations,
            records,
            killed,
        } = self;
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "a_session_of_another_process", "--nocapture"]);
        child.env(DIRECTORY, log);
        child.env(
            SESSION,
            format!(
                "{segment} {padding} {truncations} {records} {}",
                u8::from(killed)
            ),
        );
        let ended = child.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.success(), !killed, "{self:?}: {said}{errors}");
        assert!(said.contains("done"), "{self:?}: {said}{errors}");
    }

    fn of(text: &str) -> Self {
        let mut numbers = text.split(' ').map(|number| number.parse().unwrap());
        let mut next = || numbers.next().unwrap();
        Self {
            segment: next(),
            padding: u32::try_from(next()).unwrap(),
            truncations: next(),
            records: next(),
            killed: next() == 1,
        }
    }

    fn open(self, log: &Path) -> Wal {
        let config = WalConfig {
            max_segment_size: self.segment,
            fsync_policy: FsyncPolicy::Always,
            ..WalConfig::default()
        };
        let builder = Wal::builder(log).config(config);
        let builder = builder.sector_padding(Alignment::from_u32(self.padding).unwrap());
        builder.format_version(FormatVersion::V2).open().unwrap()
    }

    /// Truncations and records in turns, as many as were asked for.
    fn run(self, log: &Path) {
        let wal = self.open(log);
        let mut left = (self.truncations, self.records);
        while left != (0, 0) {
            let next = wal.last_lsn().get() + 1;
            if left.0 > 0 {
                left.0 -= 1;
                let first = wal.first_lsn().get() + 1;
                wal.truncate_before_with(Lsn::new(first), RecordRef::data(&value(next, 4096)))
                    .unwrap();
                assert_eq!(wal.first_lsn().get(), first);
            }
            for _ in 0..left.1.min(4) {
                left.1 -= 1;
                let next = wal.last_lsn().get() + 1;
                wal.append_reserved(RecordRef::data(&value(next, 512)))
                    .unwrap();
            }
        }
        std::io::stdout().write_all(b"done\n").unwrap();
        if self.killed {
            std::process::abort();
        }
        wal.close().unwrap();
    }
}

/// No two records are alike.
fn value(lsn: u64, len: usize) -> Vec<u8> {
    let mut value = format!("record {lsn} ").into_bytes();
    value.resize(len, lsn as u8);
    value
}

fn holds(wal: &Wal, first: u64, last: u64) {
    let mut next = first;
    for step in wal.read_from(Lsn::ZERO).unwrap() {
        let (record, position) = step.unwrap();
        assert_eq!(position.lsn.get(), next);
        assert_eq!(record.value, value(next, record.value.len()));
        next += 1;
    }
    assert_eq!((next, wal.first_lsn().get()), (last + 1, first));
}

/// Files of the reserve that are no segment.
fn spare_files(log: &Path) -> usize {
    let names = [".reserve", ".reserve2"].into_iter();
    names.filter(|name| log.join(name).exists()).count()
}

/// Does nothing, unless it is called for another test.
#[test]
fn a_session_of_another_process() {
    let (Some(session), Some(log)) = (std::env::var_os(SESSION), std::env::var_os(DIRECTORY))
    else {
        return;
    };
    Session::of(session.to_str().unwrap()).run(Path::new(&log));
}

const RECORDS_BEFORE: u64 = 40;

fn counts_hold(test: &str, kind: FileSystem, segment: u64, padding: u32, killed: bool) {
    let place = Place::new();
    // A segment, the reserve twice, and what the file system itself needs.
    let size = segment + 48 * MIB;
    let Some(disk) = Disk::mount(test, &place, kind, size) else {
        return;
    };
    let log = disk.log();
    let none = Session {
        segment,
        padding,
        truncations: 0,
        records: 0,
        killed: false,
    };
    let begin = Session {
        records: RECORDS_BEFORE,
        killed,
        ..none
    };
    begin.run_in_process(&log);
    if killed {
        // The space that the killed process had allocated is given back, and the log goes on in it.
        none.run_in_process(&log);
    }
    disk.fill();
    let parts = [(5, 20, true), (0, 0, false), (1, 0, true), (6, 24, false)];
    for (truncations, records, killed) in parts {
        let session = Session {
            truncations,
            records,
            killed,
            ..none
        };
        session.run_in_process(&log);
        disk.fill();
        // The other one is the newest segment.
        assert_eq!(spare_files(&log), 1);
    }
    // Nothing but what there is room for.
    {
        let wal = none.open(&log);
        disk.fill();
        let done = TRUNCATIONS - 4 + RECORDS - 20 + RECORDS_BEFORE;
        holds(&wal, TRUNCATIONS - 4 + 1, done);
        let refused = wal.append(RecordRef::data(b"not now"));
        assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
        wal.close().unwrap();
    }
    let rest = Session {
        truncations: 4,
        records: 20,
        killed: true,
        ..none
    };
    rest.run_in_process(&log);
    for session in 0..4 {
        disk.fill();
        let killed = session % 2 == 0;
        Session { killed, ..none }.run_in_process(&log);
    }
    disk.fill();
    let wal = none.open(&log);
    let last = TRUNCATIONS + RECORDS + RECORDS_BEFORE;
    holds(&wal, TRUNCATIONS + 1, last);
    fs::remove_file(disk.filler()).unwrap();
    wal.append(RecordRef::data(&value(last + 1, 3000))).unwrap();
    holds(&wal, TRUNCATIONS + 1, last + 1);
    assert_eq!(spare_files(&log), 2);
    wal.close().unwrap();
    common::verify(&log).code(0);
}

macro_rules! cases {
    ($($name:ident: $kind:ident $segment:literal MIB, $padding:literal, $killed:literal;)*) => {$(
        #[test]
        fn $name() {
            counts_hold(stringify!($name), FileSystem::$kind, $segment * MIB, $padding, $killed);
        }
    )*};
}

cases! {
    the_reserve_on_tmpfs_with_short_segments: Tmpfs 1 MIB, 8, false;
    the_reserve_on_tmpfs_with_short_segments_after_a_kill: Tmpfs 1 MIB, 8, true;
    the_reserve_on_tmpfs_with_short_padded_segments: Tmpfs 1 MIB, 4096, false;
    the_reserve_on_tmpfs_with_short_padded_segments_after_a_kill: Tmpfs 1 MIB, 4096, true;
    the_reserve_on_tmpfs_with_long_segments: Tmpfs 128 MIB, 8, false;
    the_reserve_on_tmpfs_with_long_segments_after_a_kill: Tmpfs 128 MIB, 8, true;
    the_reserve_on_tmpfs_with_long_padded_segments: Tmpfs 128 MIB, 4096, false;
    the_reserve_on_tmpfs_with_long_padded_segments_after_a_kill: Tmpfs 128 MIB, 4096, true;
    the_reserve_on_ext4_with_short_segments: Ext4 1 MIB, 8, false;
    the_reserve_on_ext4_with_short_segments_after_a_kill: Ext4 1 MIB, 8, true;
    the_reserve_on_ext4_with_short_padded_segments: Ext4 1 MIB, 4096, false;
    the_reserve_on_ext4_with_short_padded_segments_after_a_kill: Ext4 1 MIB, 4096, true;
    the_reserve_on_ext4_with_long_segments: Ext4 128 MIB, 8, false;
    the_reserve_on_ext4_with_long_segments_after_a_kill: Ext4 128 MIB, 8, true;
    the_reserve_on_ext4_with_long_padded_segments: Ext4 128 MIB, 4096, false;
    the_reserve_on_ext4_with_long_padded_segments_after_a_kill: Ext4 128 MIB, 4096, true;
}
