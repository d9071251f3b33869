//! What moves between threads: checked by the compiler, so the test's body only has to compile.

use std::error::Error as StdError;

use wal_core::{
    Append, Appended, Durable, Error, FsyncPolicy, Lsn, Poisoned, Position, Reader, Record,
    RecordRef, RecoveryReport, SegmentId, Stats, Wal, WalConfig,
};

fn is_send<T: Send>(_: &T) {}

fn is_shared<T: Send + Sync + 'static>() {}

fn is_error<T: StdError + Send + Sync + 'static>() {}

#[test]
fn handles_and_values_move_between_threads() {
    fn is_handle<T: Clone + Send + Sync + 'static>() {}
    fn is_value<T: Copy + Eq + std::fmt::Debug + Send + Sync + 'static>() {}

    is_handle::<Wal>();
    is_shared::<Reader>();
    is_handle::<WalConfig>();
    is_handle::<Record>();
    is_handle::<RecoveryReport>();
    is_value::<FsyncPolicy>();
    is_value::<Position>();
    is_value::<Appended>();
    is_value::<Lsn>();
    is_value::<SegmentId>();
    is_value::<Stats>();
    is_shared::<Durable<'static>>();
}

#[test]
fn the_future_of_an_append_is_small() {
    assert!(size_of::<Append<'static>>() <= 128);
}

#[test]
fn errors_move_between_threads() {
    is_error::<Error>();
    is_error::<Poisoned>();
    is_error::<wal_core::Corruption>();
    // So they fit in both of the usual boxes.
    let error: Box<dyn StdError + Send + Sync> = Error::Closed.into();
    assert_eq!(error.to_string(), Error::Closed.to_string());
    assert!(anyhow::Error::from(Error::Closed).is::<Error>());
}

#[test]
fn futures_are_send() {
    let dir = super::support::directory();
    is_send(&Wal::open(dir.path(), WalConfig::default()));
    is_send(&Wal::builder(dir.path()).open());
    super::runtimes::block_on(async {
        let wal = Wal::open(dir.path(), WalConfig::default())
            .await
            .expect("a log");
        let record = Record::put("key", "value");
        is_send(&wal.append(&record));
        is_send(&wal.append(RecordRef::put(b"key", b"value")));
        is_send(&wal.durable().append(&record));
        is_send(&wal.durable().append_batch(&["a", "batch"]));
        is_send(&wal.append_batch(std::slice::from_ref(&record)));
        is_send(&wal.flush());
        is_send(&wal.sync());
        is_send(&wal.wait_durable(Lsn::FIRST));
        is_send(&wal.current_position());
        is_send(&wal.list_segments());
        is_send(&wal.read_segment(SegmentId::FIRST));
        is_send(&wal.read_from(Lsn::ZERO));
        is_send(&wal.truncate_before(Lsn::FIRST));
        is_send(&wal.truncate_after(Lsn::FIRST));
        let mut reader = wal.read_from(Lsn::ZERO).await.expect("a reader");
        is_send(&reader.next_record());
        is_send(&wal.close());
        assert_eq!(
            wal.last_lsn(),
            Lsn::ZERO,
            "futures do nothing by themselves"
        );
    });
}
