//! The log in a process that may do less than usual: its parent directory cannot be read or synced, no descriptor or thread is left. Each
//! test runs itself again in such a process, and says `skipped` where there is none to be had.

#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use wal_core::blocking::Wal;
use wal_core::{FsyncPolicy, RecordRef, Result, WalConfig};

/// In a process that is limited: the directory to work in.
const LIMITED: &str = "WAL_TEST_LIMITED";
/// How often the next segment is begun without a descriptor.
const ROTATIONS: u64 = 20;
/// No test takes a part of this.
const PATIENCE: Duration = Duration::from_secs(60);

fn open(dir: &Path) -> Result<Wal> {
    let config = WalConfig {
        max_segment_size: 8 << 10,
        fsync_policy: FsyncPolicy::Always,
        ..WalConfig::default()
    };
    Wal::builder(dir).config(config).small_segments().open()
}

/// Runs the test `name` again, as the command says, in `dir`. False if there is no such process here.
#[track_caller]
fn again(name: &str, dir: &Path, limit: &[&str]) -> bool {
    let mut words = limit.iter().map(OsStr::new);
    let program = words.next().expect("a command");
    let outcome = Command::new(program)
        .args(words)
        .arg(env::current_exe().expect("a program"))
        .args(["--exact", name, "--nocapture"])
        .env(LIMITED, dir)
        .output();
    let why = match outcome {
        Ok(outcome) if outcome.status.success() => {
            let told = String::from_utf8_lossy(&outcome.stdout);
            assert!(told.contains("1 passed"), "{told}");
            return true;
        }
        // The command itself refuses; a test that fails says 101.
        Ok(outcome) if outcome.status.code() != Some(101) => {
            String::from_utf8_lossy(&outcome.stderr).into_owned()
        }
        Ok(outcome) => panic!("{outcome:?}"),
        Err(error) => error.to_string(),
    };
    writeln!(io::stderr(), "skipped: {name}: {limit:?}: {why}").expect("told");
    false
}

fn limited() -> Option<PathBuf> {
    env::var_os(LIMITED).map(PathBuf::from)
}

/// The first attempt works, and so does every later one.
#[track_caller]
fn is_made_at_the_first_attempt(dir: &Path) {
    for last in 0..3 {
        let wal = open(dir).unwrap_or_else(|error| panic!("attempt {}: {error}", last + 1));
        assert_eq!(wal.last_lsn().get(), last);
        wal.durable()
            .append(RecordRef::data(b"kept"))
            .expect("appended");
        wal.close().expect("closed");
    }
}

/// A user without privileges: nobody, where the owner of the directory is root.
fn without_privileges(owned: &Path) -> &'static [&'static str] {
    if owned.metadata().expect("a directory").uid() == 0 {
        &[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ]
    } else {
        &["env"]
    }
}

#[test]
fn a_log_is_made_at_the_first_attempt_under_a_parent_that_cannot_be_read() {
    let name = "a_log_is_made_at_the_first_attempt_under_a_parent_that_cannot_be_read";
    if let Some(parent) = limited() {
        let refused = File::open(&parent).expect_err("it can be read");
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        is_made_at_the_first_attempt(&parent.join("log"));
        // The parent of the deepest directory that is there, too.
        fs::create_dir(parent.join("inner")).expect("made");
        is_made_at_the_first_attempt(&parent.join("inner/log"));
        is_made_at_the_first_attempt(&parent.join("made/on/the/way"));
        return;
    }
    let outer = tempfile::tempdir().expect("a directory");
    fs::set_permissions(outer.path(), Permissions::from_mode(0o711)).expect("set");
    let parent = outer.path().join("write-only");
    fs::create_dir(&parent).expect("made");
    fs::set_permissions(&parent, Permissions::from_mode(0o333)).expect("set");
    again(name, &parent, without_privileges(&parent));
    fs::set_permissions(&parent, Permissions::from_mode(0o777)).expect("set");
}

#[test]
fn a_log_is_made_at_the_first_attempt_under_a_parent_that_cannot_be_synced() {
    let name = "a_log_is_made_at_the_first_attempt_under_a_parent_that_cannot_be_synced";
    if let Some(dir) = limited() {
        // As it is on a read-only squashfs.
        let refused = File::open(dir.join("..")).and_then(|parent| parent.sync_all());
        assert_eq!(
            refused.expect_err("it can be synced").kind(),
            io::ErrorKind::InvalidInput
        );
        is_made_at_the_first_attempt(&dir.join("log"));
        return;
    }
    // A file system of its own, mounted where its parent has no such call. It ends with the process.
    let mount = "mount -t tmpfs tmpfs /proc/fs || exit 99; exec \"$@\"";
    let here = Path::new("/proc/fs");
    let _ = again(name, here, &["unshare", "--mount", "sh", "-c", mount, "sh"])
        || again(
            name,
            here,
            &[
                "unshare",
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                mount,
                "sh",
            ],
        );
}

/// Opens files until none can be opened.
fn take_all_descriptors() -> Vec<File> {
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
        assert!(taken.len() < 1_000, "there is no limit");
    }
    taken
}

fn wait_for_a_spare(dir: &Path, wal: &Wal) {
    let begun = Instant::now();
    let is_spare = |entry: io::Result<fs::DirEntry>| {
        let name = entry.expect("an entry").file_name();
        Path::new(&name)
            .extension()
            .is_some_and(|end| end == "spare")
    };
    while !fs::read_dir(dir).expect("a directory").any(is_spare) {
        wal.append(RecordRef::data(&[7; 300])).expect("appended");
        assert!(begun.elapsed() < PATIENCE, "no segment is made ready");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_log_goes_on_into_the_next_segment_while_no_descriptor_is_left() {
    let name = "a_log_goes_on_into_the_next_segment_while_no_descriptor_is_left";
    if let Some(dir) = limited() {
        let wal = open(&dir).expect("a log");
        for rotation in 1..=ROTATIONS {
            wait_for_a_spare(&dir, &wal);
            let segments = wal.list_segments().expect("segments");
            let taken = take_all_descriptors();
            assert!(!taken.is_empty());
            // The name of the segment is made durable without another descriptor.
            let begun = wal.append(RecordRef::data(&[7; 3_000]));
            drop(taken);
            let begun = begun.unwrap_or_else(|error| panic!("rotation {rotation}: {error}"));
            assert!(Some(&begun.segment_id) > segments.last(), "it is begun");
        }
        let last = wal.last_lsn();
        wal.close().expect("closed");
        assert_eq!(open(&dir).expect("a log").last_lsn(), last);
        return;
    }
    let outer = tempfile::tempdir().expect("a directory");
    let few = "ulimit -n 64 || exit 99; exec \"$@\"";
    again(name, &outer.path().join("log"), &["sh", "-c", few, "sh"]);
}

/// Starts threads until none can be started. They end when the result is dropped.
fn take_all_threads() -> Vec<mpsc::Sender<()>> {
    let mut taken = Vec::new();
    loop {
        let (sender, receiver) = mpsc::channel();
        let waits = move || receiver.recv().is_ok();
        if std::thread::Builder::new().spawn(waits).is_err() {
            return taken;
        }
        taken.push(sender);
        assert!(taken.len() < 1_000, "there is no limit");
    }
}

/// A log that was idle has no threads, and gets none. What its policy promises is done all the same.
#[test]
fn a_log_keeps_its_promises_where_no_thread_can_be_started_any_more() {
    let name = "a_log_keeps_its_promises_where_no_thread_can_be_started_any_more";
    if let Some(dir) = limited() {
        let policies = [
            FsyncPolicy::Always,
            FsyncPolicy::Batch(Duration::from_millis(20)),
            FsyncPolicy::Os,
        ];
        for (number, policy) in policies.into_iter().enumerate() {
            let config = WalConfig {
                max_segment_size: 8 << 10,
                fsync_policy: policy,
                ..WalConfig::default()
            };
            let builder = Wal::builder(dir.join(number.to_string()));
            let wal = builder.config(config).small_segments().open();
            let wal = wal.expect("a log");
            let taken = take_all_threads();
            for _ in 0..20 {
                wal.append(RecordRef::data(&[7; 3_000])).expect("appended");
            }
            let last = wal.last_lsn();
            let begun = Instant::now();
            while policy != FsyncPolicy::Os && wal.durable_lsn() < last {
                assert!(begun.elapsed() < PATIENCE, "nobody syncs");
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(wal.list_segments().expect("segments").len() > 5);
            assert!(std::thread::Builder::new().spawn(|| ()).is_err());
            drop(taken);
            wal.close().expect("closed");
        }
        return;
    }
    let outer = tempfile::tempdir().expect("a directory");
    let few = "ulimit -v 6000000 || exit 99; export RUST_MIN_STACK=1000000000; exec \"$@\"";
    let dir = outer.path().join("log");
    fs::create_dir(&dir).expect("made");
    again(name, &dir, &["sh", "-c", few, "sh"]);
}
