//! Real forks: a child has copies of the log's handles, and shares its open files and locks. It can do nothing with them, nothing
//! it does reaches the log, and no call of it hangs, whatever other threads were doing when it was made.

#![cfg(unix)]
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wal_core::blocking::{Reader, Wal};
use wal_core::{Error, FsyncPolicy, Lsn, RecordRef, Threads, WalConfig};

/// How long a child may take. It does next to nothing.
const PATIENCE: Duration = Duration::from_secs(60);

fn open(dir: &Path, policy: FsyncPolicy) -> Result<Wal, Error> {
    let config = WalConfig {
        max_segment_size: 64 << 10,
        fsync_policy: policy,
        ..WalConfig::default()
    };
    Wal::builder(dir).config(config).small_segments().open()
}

/// Runs `child` in a fork of this process. Its number is the exit code: 0 if all is well, else what was wrong.
#[track_caller]
fn in_a_fork(child: impl FnOnce() -> i32) {
    // What the child leaves behind is the parent's.
    #[allow(clippy::disallowed_methods)]
    let pid = match fork::fork().expect("a fork") {
        fork::Fork::Child => std::process::exit(child()),
        fork::Fork::Parent(pid) => pid,
    };
    let begun = Instant::now();
    loop {
        match fork::waitpid_nohang(pid).expect("the child is waited for") {
            Some(status) => {
                assert_eq!(
                    status,
                    0,
                    "exit code {}, signal {}",
                    status >> 8,
                    status & 127
                );
                return;
            }
            None if begun.elapsed() > PATIENCE => {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
                panic!("the child hangs");
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn is_refused<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::OtherProcess { opener, .. }) if *opener != std::process::id())
}

/// The number of the first call that is not refused; 0 if all are. No call is made after it: it could hang.
fn first_not_refused(wal: &Wal, reader: &mut Reader) -> i32 {
    let record = RecordRef::data(b"from the child");
    let calls: [&mut dyn FnMut() -> bool; 16] = [
        // It waits for nothing.
        &mut || is_refused(&wal.check_process()),
        &mut || is_refused(&wal.append(record)),
        &mut || is_refused(&wal.durable().append(record)),
        &mut || is_refused(&wal.append_batch(&[record, record])),
        &mut || is_refused(&wal.prepare(record)),
        &mut || is_refused(&wal.sync()),
        &mut || is_refused(&wal.flush()),
        &mut || is_refused(&wal.wait_durable(Lsn::new(1))),
        &mut || is_refused(&wal.truncate_before(Lsn::new(2))),
        &mut || is_refused(&wal.truncate_after(Lsn::new(1))),
        &mut || is_refused(&wal.list_segments()),
        &mut || is_refused(&wal.read_from(Lsn::ZERO)),
        &mut || is_refused(&wal.read_segment(wal_core::SegmentId::new(1))),
        &mut || is_refused(&wal.replay(Lsn::ZERO, Threads::PerCore, || (), |(), _, _| ())),
        &mut || is_refused(&reader.next_record()),
        &mut || is_refused(&wal.close()),
    ];
    for (number, call) in (1..).zip(calls) {
        if !call() {
            return number;
        }
    }
    // These cannot say so, and must come back.
    let _ = (wal.first_lsn(), wal.last_lsn(), wal.durable_lsn());
    let _ = (wal.stats(), wal.current_position());
    let _ = (wal.record_limit(), wal.segment_size());
    0
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

/// Appends until the next segment is made ready, and no further work is due.
fn append_until_there_is_a_spare(wal: &Wal, dir: &Path) {
    let begun = Instant::now();
    while !names(dir).iter().any(|name| name.contains(".spare")) {
        wal.append(RecordRef::data(&[7; 1000])).expect("appended");
        std::thread::sleep(Duration::from_millis(1));
        assert!(begun.elapsed() < PATIENCE, "no spare is made");
    }
    wal.sync().expect("synced");
}

#[test]
fn a_fork_can_do_nothing_to_the_log_and_its_drop_ends_nothing() {
    for policy in [
        FsyncPolicy::Always,
        FsyncPolicy::Batch(Duration::from_millis(5)),
    ] {
        let outer = tempfile::tempdir().expect("a directory");
        let dir = outer.path().join("log");
        let wal = open(&dir, policy).expect("a log");
        append_until_there_is_a_spare(&wal, &dir);
        let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
        reader.next_record().expect("read").expect("a record");
        let (last, before) = (wal.last_lsn(), names(&dir));
        // In the child it is the only handle, and the last to go.
        let (wal, reader) = {
            let mut mine = Some((wal, reader));
            in_a_fork(|| {
                let (wal, mut reader) = mine.take().expect("the child has its copy");
                let code = first_not_refused(&wal, &mut reader);
                drop(reader);
                drop(wal);
                code
            });
            mine.take().expect("the parent has its own")
        };
        assert_eq!(names(&dir), before);
        assert!(matches!(open(&dir, policy), Err(Error::Locked { .. })));
        drop(reader);
        assert_eq!(
            wal.append(RecordRef::data(b"on")).expect("it goes on").lsn,
            last.next()
        );
        wal.close().expect("closed");
        let wal = open(&dir, policy).expect("a log");
        assert!(wal.recovery_report().clean);
        assert_eq!(wal.last_lsn(), last.next());
    }
}

#[test]
fn a_fork_that_drops_a_log_without_threads_does_not_unlock_it() {
    let outer = tempfile::tempdir().expect("a directory");
    let dir = outer.path().join("log");
    let builder = Wal::builder(&dir).small_segments().driven_by_caller();
    let mut mine = Some(builder.open().expect("a log"));
    in_a_fork(|| {
        // No thread has a share in it: all of it is dropped, its lock too.
        drop(mine.take());
        0
    });
    let outcome = open(&dir, FsyncPolicy::Always);
    assert!(matches!(outcome, Err(Error::Locked { .. })));
    let wal = mine.take().expect("the parent has its own");
    wal.append(RecordRef::data(b"on")).expect("it goes on");
    wal.close().expect("closed");
}

#[test]
fn a_fork_of_a_busy_process_does_not_hang() {
    let outer = tempfile::tempdir().expect("a directory");
    let dir = outer.path().join("log");
    let wal = open(&dir, FsyncPolicy::Os).expect("a log");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    wal.append(RecordRef::data(&[7; 100])).expect("appended");
                    let _ = (wal.last_lsn(), wal.stats());
                }
            });
        }
        let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
        for _ in 0..100 {
            in_a_fork(|| first_not_refused(&wal, &mut reader));
        }
        done.store(true, Ordering::Relaxed);
    });
    wal.close().expect("closed");
}

#[test]
fn a_read_only_handle_of_another_process_is_refused_too() {
    let outer = tempfile::tempdir().expect("a directory");
    let dir = outer.path().join("log");
    let wal = open(&dir, FsyncPolicy::Os).expect("a log");
    wal.append(RecordRef::data(b"one")).expect("appended");
    wal.close().expect("closed");
    let look = Wal::builder(&dir)
        .read_only()
        .open()
        .expect("it is looked at");
    let mut reader = look.read_from(Lsn::ZERO).expect("a reader");
    in_a_fork(|| {
        let refused = [
            is_refused(&look.read_from(Lsn::ZERO)),
            is_refused(&look.list_segments()),
            is_refused(&reader.next_record()),
        ];
        i32::from(refused != [true; 3])
    });
    assert!(reader.next_record().expect("read").is_some());
}

#[test]
fn a_fork_can_open_the_log_when_its_opener_has_closed_it() {
    let outer = tempfile::tempdir().expect("a directory");
    let dir = outer.path().join("log");
    let wal = open(&dir, FsyncPolicy::Always).expect("a log");
    in_a_fork(|| {
        let locked = matches!(open(&dir, FsyncPolicy::Always), Err(Error::Locked { .. }));
        i32::from(!locked)
    });
    wal.close().expect("closed");
    in_a_fork(|| {
        let appended = open(&dir, FsyncPolicy::Always).and_then(|wal| {
            wal.append(RecordRef::data(b"mine"))
                .and_then(|_| wal.close())
        });
        i32::from(appended.is_err())
    });
    assert_eq!(
        open(&dir, FsyncPolicy::Always)
            .expect("a log")
            .last_lsn()
            .get(),
        1
    );
}

#[test]
fn a_closed_log_opens_again_while_another_thread_spawns_processes() {
    let outer = tempfile::tempdir().expect("a directory");
    let dir = outer.path().join("log");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let spawner = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let mut command = Command::new("true");
                let _ = command.stdout(Stdio::null()).status();
            }
        });
        let refused = (0..700)
            .filter(|turn| match open(&dir, FsyncPolicy::Os) {
                Ok(wal) if turn % 2 == 0 => wal.close().is_err(),
                // Dropped.
                Ok(_) => false,
                Err(_) => true,
            })
            .count();
        done.store(true, Ordering::Relaxed);
        spawner.join().expect("no panic");
        assert_eq!(refused, 0, "of 700");
    });
}
