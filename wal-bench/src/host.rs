//! Where it ran: what a figure depends on beside the disk's mood.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The machine and the file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Operating system and architecture.
    pub system: String,
    /// Release of the kernel, where it tells.
    pub kernel: Option<String>,
    /// Model of the processor, where the system tells.
    pub cpu: Option<String>,
    /// Threads that run at the same time.
    pub cores: usize,
    /// Kind of the file system, where the system tells.
    pub file_system: Option<String>,
}

impl Host {
    /// This machine, and the file system of `dir`.
    ///
    /// # Errors
    /// The system's.
    pub fn of(dir: &Path) -> io::Result<Self> {
        let read = |path: &str| fs::read_to_string(path).ok();
        let cpu = read("/proc/cpuinfo").and_then(|text| cpu_model(&text));
        let mounts = read("/proc/self/mountinfo");
        let dir = fs::canonicalize(dir)?;
        Ok(Self {
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
            cpu,
            cores: std::thread::available_parallelism()?.get(),
            file_system: mounts.and_then(|text| file_system(&text, &dir)),
        })
    }

    /// Whether a sync costs nothing there.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        matches!(self.file_system.as_deref(), Some("tmpfs" | "ramfs"))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = |what: &Option<String>| what.clone().unwrap_or_else(|| "unknown".to_owned());
        write!(
            f,
            "{}, kernel {}, {} cores ({}), file system {}",
            self.system,
            unknown(&self.kernel),
            self.cores,
            unknown(&self.cpu),
            unknown(&self.file_system)
        )
    }
}

/// From Linux's `/proc/cpuinfo`.
fn cpu_model(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// From Linux's `/proc/self/mountinfo`: the kind of the last mount that holds `dir`, of those with the longest path.
fn file_system(text: &str, dir: &Path) -> Option<String> {
    let mounts = text.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let point = Path::new(mount.split(' ').nth(4)?);
        let kind = kind.split(' ').next()?;
        dir.starts_with(point)
            .then(|| (point.components().count(), kind))
    });
    let (_, kind) = mounts.max_by_key(|(depth, _)| *depth)?;
    Some(kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
23 28 0:21 / /proc rw,nosuid - proc proc rw
28 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 28 0:25 / /dev/shm rw - tmpfs tmpfs rw
31 28 0:26 / /data rw master:2 propagate_from:1 - xfs /dev/sdb rw
";

    #[test]
    fn the_file_system_is_that_of_the_deepest_mount() {
        let of = |dir: &str| file_system(MOUNTS, Path::new(dir));
        assert_eq!(of("/dev/shm/wal").as_deref(), Some("tmpfs"));
        assert_eq!(of("/dev/shmx").as_deref(), Some("ext4"), "no such mount");
        assert_eq!(of("/data").as_deref(), Some("xfs"));
        assert_eq!(file_system("", Path::new("/data")), None);
    }

    #[test]
    fn the_processor_is_named_once() {
        let text = "processor : 0\nmodel name\t: Some CPU @ 2.00GHz\nmodel name\t: Some CPU\n";
        assert_eq!(cpu_model(text).as_deref(), Some("Some CPU @ 2.00GHz"));
        assert_eq!(cpu_model("processor : 0\n"), None);
    }
}
