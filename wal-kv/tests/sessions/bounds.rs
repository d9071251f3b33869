//! Bounds on the resources of a process and a directory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Open files of a process that has one log or store open for writing.
pub(super) const MOST_DESCRIPTORS: usize = 16;
/// Its threads: writer, syncer and keeper of the log, the store's own, and the timer that all share.
pub(super) const MOST_THREADS: usize = 5;
/// Most growth of its memory in KiB, whatever the number of sessions. The allocator keeps some for each thread.
pub(super) const MOST_GROWTH_KIB: u64 = 24 << 10;

/// The segments of these sessions, in bytes: small, so that they are filled.
pub(super) const SEGMENT: u64 = 256 << 10;
/// Segments that may hold nothing that is needed: the active one, one made ready, two that wait for a footer, one more during
/// recovery, and the part of the oldest that was truncated.
const SEGMENTS_BESIDE: u64 = 6;
/// Files beside segments: the lock, who has it, the reserve, the log's first LSN, the store's marker and its snapshots.
const FILES_BESIDE: u64 = 11;
/// The files of the reserve, in bytes.
const RESERVE: u64 = 2 << 20;
/// A file of any length may take so much more than its bytes.
const BLOCKS: u64 = 12 << 10;

/// How many entries a folder of `/proc` has; none if the process is gone.
fn count(process: &str, what: &str) -> usize {
    fs::read_dir(format!("/proc/{process}/{what}")).map_or(0, Iterator::count)
}

/// Open descriptors of another process.
pub(super) fn descriptors_of(process: u32) -> usize {
    count(&process.to_string(), "fd")
}

/// A thread that was waited for is listed for a moment more.
const LISTED: Duration = Duration::from_secs(5);

/// The number of threads of this process, once it is at most `most`, or after some time.
pub(super) fn threads(most: usize) -> usize {
    let begun = Instant::now();
    loop {
        let threads = count("self", "task");
        if threads <= most || begun.elapsed() > LISTED {
            return threads;
        }
        thread::sleep(Duration::from_micros(100));
    }
}

/// Open descriptors of this process.
pub(super) fn descriptors() -> usize {
    count("self", "fd")
}

/// Memory of this process.
pub(super) fn memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the status of this process");
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = memory.and_then(|line| line.split_whitespace().next()?.parse().ok());
    memory.expect("the memory of this process")
}

/// What a directory holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Space {
    pub(super) files: u64,
    /// Allocated, whatever the files' lengths say.
    pub(super) bytes: u64,
}

impl Space {
    pub(super) fn of(directory: &Path) -> Self {
        let mut space = Self::default();
        for entry in fs::read_dir(directory).expect("the directory is there") {
            // Background work of another process may remove a file in between.
            let Ok(metadata) = entry.and_then(|entry| entry.metadata()) else {
                continue;
            };
            space.files += 1;
            space.bytes += metadata.blocks() * 512;
        }
        space
    }

    /// The most that may be there, if `records` records with `bytes` bytes are needed, in at most `segments` segments.
    pub(super) fn most(records: u64, bytes: u64, segments: u64) -> Self {
        let overhead = 64 * records;
        let files = segments + SEGMENTS_BESIDE + FILES_BESIDE;
        Self {
            files,
            bytes: bytes + overhead + SEGMENTS_BESIDE * SEGMENT + RESERVE + files * BLOCKS,
        }
    }

    #[track_caller]
    pub(super) fn assert_within(self, most: Self, context: &str) {
        assert!(
            self.files <= most.files,
            "{context}: {} files, at most {} are needed",
            self.files,
            most.files
        );
        assert!(
            self.bytes <= most.bytes,
            "{context}: {} bytes, at most {} are needed",
            self.bytes,
            most.bytes
        );
    }
}
