//! Readers beside a writer, and one task a segment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wal_core::{FsyncPolicy, Lsn, Position, RecordRef, Threads, Wal, WalConfig};

use super::gate::{Gate, Gated};
use super::runtimes::{Executor, Task, abandoned, block_on, within, yield_now};
use super::support::{config, directory, everywhere, policies, read_all, small};

fn payload(lsn: u64) -> Vec<u8> {
    let mut payload = lsn.to_string().into_bytes();
    payload.resize(payload.len() + (lsn % 13) as usize * 200, b'.');
    payload
}

/// Enough for some segments.
const RECORDS: u64 = 150;

async fn write(wal: Wal, from: u64, to: u64) {
    for lsn in from..=to {
        let payload = payload(lsn);
        let position = wal
            .append(RecordRef::data(&payload))
            .await
            .expect("appended");
        assert_eq!(position.lsn.get(), lsn);
        if lsn % 3 == 0 {
            yield_now().await;
        }
    }
}

/// Reads on until `last` was read. `polls`: how often each future is polled before it is dropped.
async fn follow(wal: Wal, last: u64, polls: u64) {
    let mut reader = wal.read_from(Lsn::ZERO).await.expect("a reader");
    let mut next = 1;
    while next <= last {
        match abandoned(reader.next_record(), polls).await {
            Some(Ok(Some((record, position)))) => {
                assert_eq!(position.lsn.get(), next);
                assert_eq!(record.value, payload(next));
                next += 1;
            }
            Some(Err(error)) => panic!("{error}"),
            Some(Ok(None)) | None => yield_now().await,
        }
    }
    assert_eq!(reader.next_record().await.expect("no error"), None);
}

#[test]
fn readers_follow_the_writer() {
    for (executor, policy) in everywhere() {
        let dir = directory();
        let wal = executor
            .run(small(dir.path(), policy).open())
            .expect("a log");
        executor.run_all([
            Box::pin(write(wal.clone(), 1, RECORDS)) as Task<()>,
            Box::pin(follow(wal.clone(), RECORDS, u64::MAX)),
            Box::pin(follow(wal.clone(), RECORDS, u64::MAX)),
            // These drop most of their futures.
            Box::pin(follow(wal.clone(), RECORDS, 1)),
            Box::pin(follow(wal.clone(), RECORDS, 2)),
        ]);
        assert!(wal.stats().rotations > 1);
    }
}

#[test]
fn a_reader_shows_all_that_was_appended_before_the_call() {
    for (executor, policy) in everywhere() {
        let dir = directory();
        executor.run(async move {
            let wal = small(dir.path(), policy).open().await.expect("a log");
            let mut reader = wal.read_from(Lsn::FIRST).await.expect("a reader");
            assert_eq!(reader.next_record().await.expect("no error"), None);
            for lsn in 1..=50 {
                write(wal.clone(), lsn, lsn).await;
                let (record, position) = reader
                    .next_record()
                    .await
                    .expect("no error")
                    .expect("a record");
                assert_eq!(position.lsn.get(), lsn);
                assert_eq!(record.value, payload(lsn));
                assert_eq!(reader.next_record().await.expect("no error"), None);
            }
            // And it goes on after a close.
            write(wal.clone(), 51, 52).await;
            wal.close().await.expect("closed");
            for lsn in 51..=52 {
                let step = reader.next_record().await.expect("no error");
                assert_eq!(step.map(|(_, position)| position.lsn.get()), Some(lsn));
            }
            assert_eq!(reader.next_record().await.expect("no error"), None);
        });
    }
}

#[test]
fn a_read_only_handle_follows_another_writer() {
    for executor in Executor::ALL {
        for policy in policies() {
            let dir = directory();
            let path = dir.path().to_owned();
            let wal = executor.run(small(&path, policy).open()).expect("a log");
            executor.run(write(wal.clone(), 1, 10));
            let view = executor
                .run(Wal::builder(path).read_only().open())
                .expect("a log");
            let written = Arc::new(AtomicBool::new(false));
            let flag = Arc::clone(&written);
            let writer = async move {
                write(wal.clone(), 11, RECORDS).await;
                wal.flush().await.expect("flushed");
                flag.store(true, Ordering::SeqCst);
                // Held until the readers are done: a drop would sync.
                wal
            };
            let kept: Vec<Option<Wal>> = executor.run_all([
                Box::pin(async move { Some(writer.await) }) as Task<_>,
                Box::pin(no_wal(follow(view.clone(), RECORDS, u64::MAX))),
                Box::pin(no_wal(follow(view, RECORDS, 1))),
            ]);
            assert!(written.load(Ordering::SeqCst));
            drop(kept);
        }
    }
}

async fn no_wal(task: impl Future<Output = ()>) -> Option<Wal> {
    task.await;
    None
}

#[test]
fn a_replay_gives_what_reading_in_order_gives() {
    for (executor, policy) in everywhere() {
        let dir = directory();
        let wal = executor
            .run(small(dir.path(), policy).open())
            .expect("a log");
        executor.run(write(wal.clone(), 1, RECORDS));
        let handle = wal.clone();
        let segments = executor.run(async move {
            let take = |read: &mut Vec<_>, record: RecordRef<'_>, position: Position| {
                read.push((position.lsn.get(), record.value().to_vec()));
            };
            let start = Lsn::new(3);
            handle.replay(start, Threads::PerCore, Vec::new, take).await
        });
        let segments = segments.expect("replayed");
        assert!(segments.len() > 1);
        let whole = executor.run(async move { read_all(&wal).await });
        assert!(segments.concat().into_iter().eq(whole.into_iter().skip(2)));
    }
}

#[test]
fn segments_replay_in_parallel() {
    for (executor, policy) in everywhere() {
        let dir = directory();
        let wal = executor
            .run(small(dir.path(), policy).open())
            .expect("a log");
        executor.run(write(wal.clone(), 1, RECORDS));
        let handle = wal.clone();
        let segments = executor.run(async move { handle.list_segments().await });
        let segments = segments.expect("segments");
        assert!(segments.len() > 1);
        let tasks = segments.into_iter().map(|id| {
            let wal = wal.clone();
            Box::pin(async move {
                let mut reader = wal.read_segment(id).await.expect("a reader");
                let mut records = Vec::new();
                while let Some((record, position)) = reader.next_record().await.expect("no error") {
                    assert_eq!(position.segment_id, id);
                    records.push((position.lsn.get(), record.value.to_vec()));
                }
                records
            }) as Task<Vec<(u64, Vec<u8>)>>
        });
        let replayed = executor.run_all(tasks).concat();
        let whole = executor.run(async move { read_all(&wal).await });
        assert_eq!(whole.len() as u64, RECORDS);
        assert!(replayed.into_iter().eq(whole));
    }
}

#[test]
fn a_position_leads_back_to_its_record() {
    for executor in Executor::ALL {
        let dir = directory();
        let path = dir.path().to_owned();
        executor.run(async move {
            let policy = FsyncPolicy::Os;
            let wal = small(&path, policy).open().await.expect("a log");
            let mut positions: Vec<Position> = Vec::new();
            for lsn in 1..=RECORDS {
                let expected = wal.current_position().await;
                let payload = payload(lsn);
                let position = wal
                    .append(RecordRef::data(&payload))
                    .await
                    .expect("appended");
                assert_eq!(expected.lsn, position.lsn);
                positions.push(position);
            }
            check_positions(&wal, &positions).await;
            wal.close().await.expect("closed");
            let wal = small(&path, policy).open().await.expect("a log");
            check_positions(&wal, &positions).await;
            // A hint that leads nowhere does no harm.
            let mut wrong = positions[RECORDS as usize / 2];
            wrong.segment_id = 4_711.into();
            wrong.offset = 3.into();
            check_positions(&wal, &[wrong]).await;
        });
    }
}

async fn check_positions(wal: &Wal, positions: &[Position]) {
    for position in positions.iter().step_by(37) {
        let mut reader = wal.read_from(*position).await.expect("a reader");
        let step = reader.next_record().await.expect("no error");
        let (record, found) = step.expect("a record");
        assert_eq!(found.lsn, position.lsn);
        assert_eq!(record.value, payload(position.lsn.get()));
    }
}

#[test]
fn a_segment_reader_shows_what_was_not_handed_over() {
    within("os", || {
        let gate = Gate::default();
        let builder = Wal::builder("log")
            .storage(Arc::new(Gated::new(&gate)))
            .config(WalConfig {
                max_segment_size: 64 << 10,
                ..config(FsyncPolicy::Os)
            })
            .small_segments();
        let wal = block_on(builder.open()).expect("a log");
        block_on(wal.durable().append(RecordRef::data(&[7; 1_000]))).expect("appended");
        // The next segment is made ready at three quarters.
        for _ in 2..=50 {
            block_on(wal.append(RecordRef::data(&[7; 1_000]))).expect("appended");
        }
        block_on(wal.flush()).expect("flushed");
        std::thread::sleep(Duration::from_millis(50));
        gate.close_writes();
        for _ in 51..=80 {
            block_on(wal.append(RecordRef::data(&[7; 1_000]))).expect("appended");
        }
        let segments = block_on(wal.list_segments()).expect("segments");
        assert_eq!(segments.len(), 2);
        let readers: Vec<_> = segments
            .into_iter()
            .map(|id| {
                let wal = wal.clone();
                std::thread::spawn(move || {
                    let mut reader = block_on(wal.read_segment(id)).expect("a reader");
                    let mut lsns = Vec::new();
                    while let Some((_, position)) = block_on(reader.next_record()).expect("read") {
                        lsns.push(position.lsn.get());
                    }
                    lsns
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(50));
        gate.open();
        let read = readers
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        assert!(read.flatten().eq(1..=80));
    });
}
