//! Logs beside each other: whatever happens to one of them (moved, deleted, copied, its lock removed), the others are untouched,
//! and nothing that was acknowledged is lost. On the file system of the temporary directory, and on tmpfs where there is one.

#![cfg(unix)]
#![forbid(unsafe_code)]

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::{Displacement, Error, FsyncPolicy, Lsn, RecordRef, Result, WalConfig};
use wal_io::fault::Image;

/// Appends in one go: more than three segments take.
const MANY: u64 = 60;

fn policies() -> [FsyncPolicy; 3] {
    [
        FsyncPolicy::Always,
        FsyncPolicy::Batch(Duration::from_millis(5)),
        FsyncPolicy::Os,
    ]
}

fn open(dir: &Path, policy: FsyncPolicy) -> Result<Wal> {
    let config = WalConfig {
        max_segment_size: 8 << 10,
        fsync_policy: policy,
        ..WalConfig::default()
    };
    Wal::builder(dir).config(config).small_segments().open()
}

/// A directory for the logs of a test on each file system there is.
fn places() -> Vec<tempfile::TempDir> {
    let here = tempfile::tempdir().expect("a directory");
    let shared_memory = tempfile::tempdir_in("/dev/shm").ok();
    [Some(here), shared_memory].into_iter().flatten().collect()
}

/// Runs a case under each policy, in each place.
fn everywhere(case: impl Fn(&Path, FsyncPolicy)) {
    for place in places() {
        for (number, policy) in policies().into_iter().enumerate() {
            let root = place.path().join(number.to_string());
            fs::create_dir(&root).expect("a directory");
            case(&root, policy);
        }
    }
}

/// A log with a writer, and what was acknowledged as durable.
struct Log {
    name: &'static str,
    dir: PathBuf,
    wal: Wal,
    acknowledged: u64,
}

impl Log {
    fn open(name: &'static str, dir: &Path, policy: FsyncPolicy) -> Self {
        let wal = open(dir, policy).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self {
            name,
            dir: dir.to_owned(),
            acknowledged: wal.last_lsn().get(),
            wal,
        }
    }

    fn payload(&self, lsn: u64) -> Vec<u8> {
        format!("{} {lsn} {}", self.name, "x".repeat(400)).into_bytes()
    }

    /// Appends durable records up to this number, or until the log refuses.
    fn append(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            let lsn = self.acknowledged + 1;
            let position = self
                .wal
                .durable()
                .append(RecordRef::data(&self.payload(lsn)))?;
            assert_eq!(position.lsn.get(), lsn, "{}", self.name);
            self.acknowledged = lsn;
        }
        Ok(())
    }

    /// Ends it, and finds all that was acknowledged in the directory where it is now.
    #[track_caller]
    fn ends_whole_at(self, dir: &Path) {
        let Self {
            name, acknowledged, ..
        } = self;
        let expected: Vec<Vec<u8>> = (1..=acknowledged).map(|lsn| self.payload(lsn)).collect();
        drop(self.wal);
        let wal = open(dir, FsyncPolicy::Always).unwrap_or_else(|error| panic!("{name}: {error}"));
        let reader = wal.read_from(Lsn::ZERO).expect("a reader");
        let found: Vec<Vec<u8>> = reader
            .map(|step| step.expect("read").0.value.to_vec())
            .collect();
        assert!(
            found.len() as u64 >= acknowledged,
            "{name}: {} of {acknowledged}",
            found.len()
        );
        assert!(
            found[..acknowledged as usize] == expected,
            "{name}: other records"
        );
        let verified = wal_core::Offline::at(dir)
            .verify(wal_core::VerifyOptions::default())
            .expect("verified");
        assert!(verified.damage().next().is_none(), "{name}");
    }
}

/// A log that is not in use while its neighbour is moved, deleted or copied.
struct Bystander {
    dir: PathBuf,
    before: Image,
}

impl Bystander {
    fn beside(root: &Path) -> Self {
        let dir = root.join("bystander");
        let mut log = Log::open("bystander", &dir, FsyncPolicy::Always);
        log.append(MANY).expect("appended");
        log.wal.close().expect("closed");
        let before = Image::read_from(&dir).expect("read");
        Self { dir, before }
    }

    #[track_caller]
    fn is_untouched(&self) {
        let now = Image::read_from(&self.dir).expect("read");
        assert!(now == self.before, "{:?} became {now:?}", self.before);
    }
}

#[track_caller]
fn displaced(outcome: Result<()>) -> Displacement {
    match outcome {
        Err(Error::Displaced(displaced)) => {
            let message = displaced.to_string();
            assert!(message.contains("while the log was open"), "{message}");
            displaced.what
        }
        other => panic!("expected Displaced, got {other:?}"),
    }
}

#[test]
fn a_log_that_was_moved_stops_loses_nothing_and_opens_at_its_new_path() {
    everywhere(|root, policy| {
        let bystander = Bystander::beside(root);
        let (old, new) = (root.join("log"), root.join("moved"));
        let mut first = Log::open("first", &old, policy);
        first.append(10).expect("appended");
        fs::rename(&old, &new).expect("moved");
        assert_eq!(displaced(first.append(MANY)), Displacement::DirectoryGone);
        // From then on everything is refused.
        assert_eq!(displaced(first.wal.sync()), Displacement::DirectoryGone);
        assert_eq!(displaced(first.wal.close()), Displacement::DirectoryGone);
        assert!(!old.exists());
        first.ends_whole_at(&new);
        bystander.is_untouched();
    });
}

#[test]
fn a_log_at_the_old_path_of_one_that_was_moved_is_untouched() {
    everywhere(|root, policy| {
        let (old, new) = (root.join("log"), root.join("moved"));
        let mut first = Log::open("first", &old, policy);
        first.append(10).expect("appended");
        fs::rename(&old, &new).expect("moved");
        let mut second = Log::open("second", &old, policy);
        second.append(MANY).expect("appended");
        // A thread of the log may have checked before there was another log.
        displaced(first.append(MANY));
        second.append(MANY).expect("appended");
        first.ends_whole_at(&new);
        second.wal.close().expect("closed");
        second.ends_whole_at(&old);
    });
}

#[test]
fn without_the_path_check_a_moved_log_goes_on_in_its_own_directory() {
    everywhere(|root, policy| {
        let (old, new) = (root.join("log"), root.join("moved"));
        let mut first = Log::open("first", &old, policy);
        let config = WalConfig {
            max_segment_size: 8 << 10,
            fsync_policy: policy,
            ..WalConfig::default()
        };
        first.wal.close().expect("closed");
        let builder = Wal::builder(&old).config(config).small_segments();
        first.wal = builder
            .path_check(wal_core::PathCheck::Off)
            .open()
            .expect("a log");
        first.append(10).expect("appended");
        fs::rename(&old, &new).expect("moved");
        let mut second = Log::open("second", &old, policy);
        for _ in 0..5 {
            first.append(10).expect("appended");
            second.append(10).expect("appended");
        }
        first.wal.close().expect("closed");
        second.wal.close().expect("closed");
        first.ends_whole_at(&new);
        second.ends_whole_at(&old);
    });
}

#[test]
fn a_symbolic_link_that_was_switched_leads_nobody_astray() {
    everywhere(|root, policy| {
        let (link, one, other) = (root.join("log"), root.join("one"), root.join("other"));
        fs::create_dir(&one).expect("a directory");
        fs::create_dir(&other).expect("a directory");
        symlink("one", &link).expect("a link");
        let mut first = Log::open("first", &link, policy);
        first.append(10).expect("appended");
        fs::remove_file(&link).expect("removed");
        symlink("other", &link).expect("a link");
        let mut second = Log::open("second", &link, policy);
        second.append(MANY).expect("appended");
        // A thread of the log may have checked before there was another log.
        displaced(first.append(MANY));
        second.append(MANY).expect("appended");
        first.ends_whole_at(&one);
        second.ends_whole_at(&other);
    });
}

/// Deletes the directory of a log whose threads may be making files in it.
fn delete(dir: &Path) {
    while let Err(error) = fs::remove_dir_all(dir) {
        assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty, "{error}");
    }
}

#[test]
fn nothing_is_acknowledged_in_a_directory_that_was_deleted() {
    everywhere(|root, policy| {
        let bystander = Bystander::beside(root);
        let dir = root.join("log");
        let mut first = Log::open("first", &dir, policy);
        first.append(10).expect("appended");
        delete(&dir);
        let before = first.acknowledged;
        displaced(first.append(1));
        assert_eq!(first.acknowledged, before);
        displaced(first.wal.close());
        drop(first);
        assert!(!dir.exists(), "it was made again");
        bystander.is_untouched();
    });
}

#[test]
fn a_close_is_not_successful_where_the_directory_was_deleted() {
    everywhere(|root, policy| {
        let dir = root.join("log");
        let mut first = Log::open("first", &dir, policy);
        first.append(1).expect("appended");
        delete(&dir);
        displaced(first.wal.close());
        // Nor where nothing was appended.
        let first = Log::open("first", &dir, policy);
        delete(&dir);
        assert_eq!(displaced(first.wal.close()), Displacement::DirectoryGone);
    });
}

#[test]
fn a_copy_that_was_made_of_an_open_log_is_a_log_of_its_own() {
    everywhere(|root, policy| {
        let bystander = Bystander::beside(root);
        let (dir, copy) = (root.join("log"), root.join("copy"));
        let mut first = Log::open("first", &dir, policy);
        first.append(MANY).expect("appended");
        let acknowledged = first.acknowledged;
        let image = Image::read_from(&dir).expect("read");
        image.write_to(&copy).expect("copied");
        let mut second = Log::open("first", &copy, policy);
        assert!(second.acknowledged >= acknowledged);
        for _ in 0..5 {
            first.append(10).expect("appended");
            second.append(10).expect("appended");
        }
        first.wal.close().expect("closed");
        second.wal.close().expect("closed");
        first.ends_whole_at(&dir);
        second.ends_whole_at(&copy);
        bystander.is_untouched();
    });
}

#[test]
fn deleting_the_lock_lets_no_second_writer_in() {
    everywhere(|root, policy| {
        let dir = root.join("log");
        let mut first = Log::open("first", &dir, policy);
        first.append(10).expect("appended");
        for name in ["lock", "lock.pid"] {
            fs::remove_file(dir.join(name)).expect("removed");
            assert!(matches!(open(&dir, policy), Err(Error::Locked { .. })));
        }
        first.append(MANY).expect("appended");
        first.wal.close().expect("closed");
        let dir = first.dir.clone();
        first.ends_whole_at(&dir);
    });
}
