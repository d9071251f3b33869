//! One writer per directory, by a lock that dies with its holder.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::{Error, FsyncPolicy, RecordRef, WalConfig};

use crate::common::{Machine, PATIENCE, append, assert_holds};

#[track_caller]
fn locked_by(outcome: wal_core::Result<Wal>) -> Option<u32> {
    match outcome {
        Err(error @ Error::Locked { pid, .. }) => {
            let message = error.to_string();
            assert!(message.contains("locked by"), "{message}");
            assert!(message.contains("read-only"), "{message}");
            pid
        }
        other => panic!("expected Locked, got {other:?}"),
    }
}

fn config() -> WalConfig {
    WalConfig {
        max_segment_size: 1 << 20,
        ..WalConfig::default()
    }
}

#[test]
fn one_writer_per_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let wal = Wal::open(dir.path(), config()).expect("a log");
    for _ in 0..3 {
        let pid = locked_by(Wal::open(dir.path(), config()));
        assert_eq!(pid, Some(std::process::id()));
    }
    // The one who was refused has changed nothing.
    append(&wal, 1..=3);
    wal.close().expect("closed");
    let wal = Wal::open(dir.path(), config()).expect("it is free again");
    locked_by(Wal::open(dir.path(), config()));
    drop(wal);
    assert_holds(
        &Wal::open(dir.path(), config()).expect("it is free again"),
        1..=3,
    );
}

#[test]
fn the_holder_is_named_if_it_can_be_read() {
    let machine = Machine::new(FsyncPolicy::Os);
    let _wal = machine.open();
    assert_eq!(locked_by(machine.try_open()), Some(std::process::id()));
    for unreadable in [
        b"".as_slice(),
        b"none\n",
        b"99999999999999999999\n",
        &[0xFF; 40],
    ] {
        machine
            .storage
            .truncate_file("lock.pid", 0)
            .expect("the file is there");
        machine
            .storage
            .overwrite("lock.pid", 0, unreadable)
            .expect("the file is there");
        assert_eq!(locked_by(machine.try_open()), None);
    }
    machine.storage.remove_file("lock.pid").expect("a file");
    assert_eq!(locked_by(machine.try_open()), None);
}

#[test]
fn a_read_only_open_works_beside_a_writer() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=3);
    wal.flush().expect("flushed");
    let look = machine.look().expect("it is looked at");
    assert_holds(&look, 1..=3);
    let mut reader = look.read_from(wal_core::Lsn::new(4)).expect("a reader");
    assert!(reader.next_record().expect("read").is_none());
    // It follows the writer.
    append(&wal, 4..=4);
    wal.flush().expect("flushed");
    let (_, position) = reader.next_record().expect("read").expect("a record");
    assert_eq!(position.lsn.get(), 4);
    // And does not keep others from writing.
    wal.close().expect("closed");
    append(&machine.open(), 5..=5);
}

#[test]
fn who_waits_for_the_lock_gets_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let wal = Wal::open(dir.path(), config()).expect("a log");
    append(&wal, 1..=2);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let builder = Wal::builder(dir.path()).config(config());
            builder.lock_wait(PATIENCE).open()
        });
        std::thread::sleep(Duration::from_millis(50));
        wal.close().expect("closed");
        let wal = waiter.join().expect("no panic").expect("it got the lock");
        assert_holds(&wal, 1..=2);
    });
}

#[test]
fn an_open_that_fails_lets_go_of_the_lock() {
    let machine = Machine::new(FsyncPolicy::Always);
    let wal = machine.open();
    append(&wal, 1..=3);
    wal.close().expect("closed");
    let name = crate::common::trace::segment(1);
    machine.storage.flip_bits(&name, 40, 1).expect("a bit");
    assert!(matches!(machine.try_open(), Err(Error::Corruption(_))));
    machine.storage.flip_bits(&name, 40, 1).expect("a bit");
    assert_holds(&machine.open(), 1..=3);
}

/// Set for the process that holds the lock.
const CHILD: &str = "WAL_TEST_LOCK_CHILD";

/// Not a test of its own: what the killed process of the next test does.
#[test]
fn the_process_that_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else {
        return;
    };
    let config = WalConfig {
        fsync_policy: FsyncPolicy::Always,
        ..config()
    };
    let wal = Wal::open(Path::new(&dir), config).expect("a log");
    wal.append(RecordRef::data(b"from the killed one"))
        .expect("appended");
    std::io::stderr().write_all(b"holding\n").expect("told");
    std::thread::sleep(PATIENCE);
}

#[test]
fn a_killed_writers_lock_does_not_block() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "promises::lock::the_process_that_is_killed",
            "--exact",
            "--nocapture",
        ])
        .env(CHILD, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the process starts");
    let output = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut lines = output.lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "holding"), "it got no lock");
    assert_eq!(locked_by(Wal::open(dir.path(), config())), Some(child.id()));
    child.kill().expect("killed");
    child.wait().expect("it is gone");
    let wal = Wal::builder(dir.path())
        .config(config())
        .lock_wait(PATIENCE);
    let wal = wal.open().expect("nobody holds the lock");
    assert!(!wal.recovery_report().clean);
    assert_eq!(wal.last_lsn().get(), 1);
}

#[test]
fn a_killed_machine_process_holds_no_lock() {
    let mut machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=2);
    wal.flush().expect("flushed");
    machine.kill();
    assert_holds(&machine.open(), 1..=2);
}
