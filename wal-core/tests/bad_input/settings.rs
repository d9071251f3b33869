//! Settings out of range, records and batches that are too large.

use std::path::Path;
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::{Error, FsyncPolicy, Lsn, Record, RecordRef, Result, WalConfig};

use super::place::{Place, assert_says, config};

/// Opening with this gives `InvalidConfig` for `field`, and makes nothing.
#[track_caller]
fn out_of_range(field: &'static str, value: &str, open: impl Fn(&Path) -> Result<Wal>) {
    for place in [Place::empty(), Place::with_a_log()] {
        let before = place.image();
        let error = open(&place.path()).expect_err("it is refused");
        assert_says(&error, &[field, value, "allowed is"]);
        match error {
            Error::InvalidConfig { field: found, .. } => assert_eq!(found, field),
            other => panic!("{other:?}"),
        }
        assert!(place.image() == before, "something was changed");
    }
}

#[test]
fn a_segment_size_out_of_range() {
    for size in [0, 1, (1 << 20) - 1, (4 << 30) + 1, u64::MAX] {
        out_of_range("max_segment_size", &size.to_string(), |path| {
            let config = WalConfig {
                max_segment_size: size,
                ..config()
            };
            Wal::open(path, config)
        });
    }
}

#[test]
fn a_segment_size_at_its_limits() {
    for size in [1 << 20, 4 << 30] {
        let place = Place::empty();
        let config = WalConfig {
            max_segment_size: size,
            preallocate: false,
            ..config()
        };
        let wal = Wal::open(place.path(), config).expect("it is allowed");
        wal.append(RecordRef::data(b"x")).expect("appended");
        wal.close().expect("closed");
    }
}

#[test]
fn a_batch_window_out_of_range() {
    let minute = Duration::from_secs(60);
    for window in [
        Duration::ZERO,
        minute + Duration::from_nanos(1),
        Duration::MAX,
    ] {
        out_of_range("fsync_policy", "Batch", |path| {
            let config = WalConfig {
                fsync_policy: FsyncPolicy::Batch(window),
                ..config()
            };
            Wal::open(path, config)
        });
    }
    for window in [Duration::from_nanos(1), minute] {
        let place = Place::empty();
        let config = WalConfig {
            fsync_policy: FsyncPolicy::Batch(window),
            ..config()
        };
        Wal::open(place.path(), config).expect("it is allowed");
    }
}

#[test]
fn a_buffer_out_of_range() {
    for bytes in [0, 4095, (64 << 20) + 1, usize::MAX] {
        out_of_range("buffer_size", &bytes.to_string(), |path| {
            let builder = Wal::builder(path).config(config());
            builder.buffer_size(bytes).open()
        });
    }
}

#[test]
fn a_record_limit_out_of_range() {
    for bytes in [0, 1 << 20, u64::MAX] {
        out_of_range("record_limit", &bytes.to_string(), |path| {
            let builder = Wal::builder(path).config(config());
            builder.record_limit(bytes).open()
        });
    }
}

#[track_caller]
fn is_too_large<T: std::fmt::Debug>(outcome: Result<T>, of: &str, limit: u64) {
    match outcome {
        Err(error @ Error::TooLarge { .. }) => {
            assert_says(
                &error,
                &[of, &limit.to_string(), "the log is unchanged", "split"],
            );
        }
        other => panic!("expected TooLarge, got {other:?}"),
    }
}

#[test]
fn a_record_above_the_limit_leaves_the_log_usable() {
    for policy in [FsyncPolicy::Always, FsyncPolicy::default(), FsyncPolicy::Os] {
        let place = Place::empty();
        let config = WalConfig {
            fsync_policy: policy,
            ..config()
        };
        let builder = Wal::builder(place.path()).config(config).record_limit(1000);
        let wal = builder.open().expect("a log");
        wal.append(RecordRef::data(b"before")).expect("appended");
        let large = vec![1; 1001];
        is_too_large(wal.append(RecordRef::data(&large)), "record", 1000);
        is_too_large(
            wal.durable().append(RecordRef::data(&large)),
            "record",
            1000,
        );
        let put = RecordRef::put(&large[..1], &large[1..]);
        is_too_large(wal.append(put), "record", 1000);
        is_too_large(
            wal.append_batch(&[Record::data("a"), Record::data(large)]),
            "record",
            1000,
        );
        wal.append(RecordRef::data(&[2; 1000]))
            .expect("just not too large");
        wal.append(RecordRef::data(b"behind")).expect("appended");
        let records: Vec<_> = wal
            .read_from(Lsn::ZERO)
            .expect("a reader")
            .map(|step| step.expect("a record").0.value.len())
            .collect();
        assert_eq!(records, [6, 1000, 6]);
        wal.close().expect("closed");
    }
}

#[test]
fn a_batch_above_a_segment_leaves_the_log_usable() {
    let place = Place::empty();
    let wal = place.open().expect("a log");
    wal.append(RecordRef::data(b"before")).expect("appended");
    let batch: Vec<_> = (0..11).map(|n| Record::data(vec![n; 100_000])).collect();
    match wal.append_batch(&batch) {
        Err(error @ Error::TooLarge { what: "batch", .. }) => {
            assert_says(
                &error,
                &["batch", "max_segment_size", "the log is unchanged"],
            );
        }
        other => panic!("{other:?}"),
    }
    let appended = wal.append_batch(&batch[..9]).expect("that fits");
    assert_eq!((appended.first.lsn.get(), appended.last_lsn.get()), (2, 10));
    wal.close().expect("closed");
    assert_eq!(place.open().expect("a log").last_lsn().get(), 10);
}

#[test]
fn a_batch_above_the_limit_reports_its_whole_size() {
    let place = Place::empty();
    let wal = place.open().expect("a log");
    let batch: Vec<_> = (0..30).map(|n| Record::data(vec![n; 100_000])).collect();
    let nine = wal.prepare_batch(&batch[..9]).expect("that fits");
    for count in [11, 20, 30_u64] {
        match wal.append_batch(&batch[..count as usize]) {
            Err(Error::TooLarge { len, .. }) => assert_eq!(len, nine.encoded_len() / 9 * count),
            other => panic!("{other:?}"),
        }
    }
    wal.close().expect("closed");
}
