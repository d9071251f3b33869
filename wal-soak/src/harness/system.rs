//! What the system says of a process and of a directory. Linux only: elsewhere there is nothing to read, and the rows stay empty.

use std::fs;
use std::path::Path;

/// The process that asks.
pub const OWN: &str = "self";

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What it has now.
    pub now: u64,
    /// The most that it had since it began, or since [`forget_peak`].
    pub peak: u64,
}

impl Memory {
    /// Of a process, by its number or [`OWN`]; `None` if it is gone.
    #[must_use]
    pub fn of(process: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
    }

    fn parse(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kib << 10)
        };
        Some(Self {
            now: bytes("VmRSS:")?,
            peak: bytes("VmHWM:")?,
        })
    }
}

/// Begins the peak of this process anew, where the system can do that.
pub fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// How many descriptors a process has open.
#[must_use]
pub fn descriptors(process: &str) -> u64 {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, |entries| entries.count() as u64)
}

/// How many of the process's threads have a name that `counts` accepts.
#[must_use]
pub fn threads(process: &str, counts: impl Fn(&str) -> bool) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return 0;
    };
    let names = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| counts(name.trim_end())).count() as u64
}

/// What a directory holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Files.
    pub files: u64,
    /// Bytes that are allocated for them, whatever their lengths say.
    pub bytes: u64,
}

impl Space {
    /// Of a directory; nothing if there is none.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self::of_files(directory, |_| true)
    }

    /// Of the files in it whose names `counts` accepts.
    #[must_use]
    pub fn of_files(directory: &Path, counts: impl Fn(&str) -> bool) -> Self {
        let mut space = Self::default();
        let Ok(entries) = fs::read_dir(directory) else {
            return space;
        };
        let counted = |entry: &fs::DirEntry| counts(&entry.file_name().to_string_lossy());
        let entries = entries.flatten().filter(counted);
        // A file may be removed in between.
        for metadata in entries.filter_map(|entry| entry.metadata().ok()) {
            space.files += 1;
            space.bytes += allocated(&metadata);
        }
        space
    }
}

#[cfg(unix)]
fn allocated(metadata: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    metadata.blocks() * 512
}

#[cfg(not(unix))]
fn allocated(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_kibibytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n";
        let memory = Memory {
            now: 1 << 10,
            peak: 2 << 20,
        };
        assert_eq!(Memory::parse(status), Some(memory));
        assert_eq!(Memory::parse("Name:\tx\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_threads_and_descriptors() {
        assert!(descriptors(OWN) >= 3);
        assert!(threads(OWN, |_| true) >= 1);
        assert_eq!(threads(OWN, |name| name == "no such name"), 0);
    }

    #[test]
    fn a_directory_that_is_not_there_holds_nothing() {
        assert_eq!(Space::of(Path::new("no/such/directory")), Space::default());
    }
}
