//! What must hold for any directory: looking changes nothing, every way of reading shows the same, and a log that is
//! accepted goes on and stays readable.
//!
//! Deliberately absent: what should be in the log. Only who made it knows.

use std::sync::Arc;

use wal_core::blocking::{Reader, Wal};
use wal_core::{Error, FsyncPolicy, Lsn, Record, Result, VerifyReport};
use wal_format::FileName;
use wal_io::FaultStorage;
use wal_io::fault::{FaultConfig, Image};

use crate::base;

/// Where the bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// From anyone: checksums may have been made for them.
    Any,
    /// From the log, with damage that its checksums tell.
    NotForged,
}

/// What a reader gave.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) records: Vec<(u64, Record)>,
    /// What ended it; `None` if it came to the end of the log.
    pub(crate) error: Option<Error>,
}

/// Looks at the directory, verifies it, opens it for writing, goes on with it, and opens it again. Returns what a writer
/// shows, or the error for which it was refused.
pub(crate) fn survive(image: &Image, bytes: Bytes) -> Shown {
    let storage = FaultStorage::from_image(FaultConfig::default(), image);
    let looked = look(&storage, Damaged::Refused);
    let damaged = look(&storage, Damaged::Shown);
    let verified =
        wal_core::Offline::on(Arc::new(storage.clone())).verify(wal_core::VerifyOptions::default());
    assert!(storage.image() == *image, "a look changed the directory");
    agree(looked.as_ref(), damaged.as_ref(), &verified);
    let refused = [looked.as_ref().err(), damaged.as_ref().err()];
    for error in refused
        .into_iter()
        .chain([verified.as_ref().err()])
        .flatten()
    {
        let unknown = matches!(error, Error::UnknownFeature { .. });
        assert!(
            bytes == Bytes::Any || !unknown,
            "damage is taken for a feature: {error}"
        );
    }

    let wal = match base::open(&storage, FsyncPolicy::Always, None, None, 1 << 32) {
        Ok(wal) => wal,
        Err(error) => {
            told(&error);
            // A directory without a log is one for a writer.
            assert!(looked.is_err(), "shown read-only, but refused: {error}");
            assert!(
                segments(&storage.image()) == segments(image),
                "a refused open changed a segment: {error}"
            );
            return Shown {
                records: Vec::new(),
                error: Some(error),
            };
        }
    };
    let shown = read(&wal, Lsn::ZERO);
    if let Ok(looked) = &looked {
        same(looked, &shown);
    }
    if bytes == Bytes::NotForged && shown.error.is_none() {
        let (first, last) = (wal.first_lsn().get(), wal.last_lsn().get());
        assert!(
            shown.records.iter().map(|(lsn, _)| *lsn).eq(first..=last),
            "{first} to {last} are not all there"
        );
    }
    from_the_middle(&wal, &shown);
    go_on(wal, storage, &shown);
    shown
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Damaged {
    Refused,
    Shown,
}

fn look(storage: &FaultStorage, damaged: Damaged) -> Result<Shown> {
    let builder = Wal::builder("log").storage(Arc::new(storage.clone()));
    let wal = match damaged {
        Damaged::Refused => builder.read_only(),
        Damaged::Shown => builder.read_damaged(),
    }
    .open();
    if let Err(error) = &wal {
        told(error);
    }
    Ok(read(&wal?, Lsn::ZERO))
}

/// Reads to the end or to an error. LSNs ascend.
fn read(wal: &Wal, from: Lsn) -> Shown {
    match wal.read_from(from) {
        Ok(reader) => drain(reader),
        Err(error) => {
            told(&error);
            Shown {
                records: Vec::new(),
                error: Some(error),
            }
        }
    }
}

fn drain(mut reader: Reader) -> Shown {
    let mut shown = Shown::default();
    loop {
        match reader.next_record() {
            Ok(Some((record, position))) => {
                let lsn = position.lsn.get();
                assert!(
                    shown.records.last().is_none_or(|(last, _)| *last < lsn),
                    "LSN {lsn} comes late"
                );
                shown.records.push((lsn, record));
            }
            Ok(None) => return shown,
            Err(error) => {
                told(&error);
                assert!(
                    matches!(reader.next_record(), Ok(None)),
                    "an error ends a reader"
                );
                shown.error = Some(error);
                return shown;
            }
        }
    }
}

/// The error names what to do, and a place.
fn told(error: &Error) {
    assert!(
        matches!(
            error,
            Error::Corruption(_)
                | Error::MissingSegment { .. }
                | Error::UnknownVersion { .. }
                | Error::UnknownFeature { .. }
                | Error::NotALog { .. }
        ),
        "an error of another kind: {error:?}"
    );
}

fn agree(
    looked: Result<&Shown, &Error>,
    damaged: Result<&Shown, &Error>,
    verified: &Result<VerifyReport>,
) {
    if let Ok(looked) = looked {
        let damaged = damaged.expect("what is shown of a whole log is shown of a damaged one");
        same(looked, damaged);
    }
    match verified {
        Err(error) => {
            told(error);
            // A reader meets what is unknown in its place, and not behind the end of the records.
            let unknown = matches!(error, Error::UnknownFeature { .. });
            assert!(
                looked.is_err() || unknown,
                "shown, but not verified: {error}"
            );
        }
        Ok(report) if report.damage().next().is_none() => {
            let shown = looked.expect("it verifies without damage");
            assert!(
                shown.error.is_none(),
                "it verifies without damage, but {:?}",
                shown.error
            );
            assert!(report.records() >= shown.records.len() as u64);
        }
        Ok(report) => report.damage().for_each(told),
    }
}

#[track_caller]
fn same(one: &Shown, other: &Shown) {
    assert_eq!(
        one.records.len(),
        other.records.len(),
        "{:?}, {:?}",
        one.error,
        other.error
    );
    assert!(one.records == other.records, "other records");
    assert_eq!(
        one.error.is_some(),
        other.error.is_some(),
        "{:?}, {:?}",
        one.error,
        other.error
    );
}

/// Who starts at a record gets it and those behind it, whatever an index says.
fn from_the_middle(wal: &Wal, shown: &Shown) {
    let count = shown.records.len();
    for at in [count / 3, count / 2, count.saturating_sub(1)] {
        let Some((lsn, _)) = shown.records.get(at) else {
            continue;
        };
        let part = read(wal, Lsn::new(*lsn));
        assert!(
            part.records == shown.records[at..]
                || part.error.is_some() && shown.records[at..].starts_with(&part.records),
            "from LSN {lsn} on it reads differently: {:?}",
            part.error
        );
    }
}

/// The log was accepted: records are appended, the process is killed, and after the next open all is there.
fn go_on(wal: Wal, mut storage: FaultStorage, shown: &Shown) {
    let mut expected: Vec<_> = shown.records.clone();
    let added = [
        Record::data("one"),
        Record::put("two", "two"),
        Record::delete("three"),
    ];
    let first = match append(&wal, &added) {
        Ok(first) => first,
        Err(error) => return drop(error),
    };
    for (at, record) in added.iter().enumerate() {
        expected.push((first + at as u64, record.clone()));
    }
    storage = storage.kill();
    drop(wal);
    for seed in 1..=2 {
        let wal = base::open(&storage, FsyncPolicy::Always, None, None, seed << 33)
            .expect("it was accepted before");
        // Behind damage that a reader met, what was added is read all the same.
        let again = read(&wal, Lsn::ZERO);
        if shown.error.is_none() {
            assert!(again.error.is_none(), "{:?}", again.error);
            assert!(
                again.records == expected,
                "other records after it was opened again"
            );
        } else {
            assert!(
                again.records == shown.records,
                "other records before the damage"
            );
            assert!(again.error.is_some(), "the damage is gone");
        }
        let tail = read(&wal, Lsn::new(first));
        assert!(tail.error.is_none(), "{:?}", tail.error);
        assert!(
            tail.records == expected[shown.records.len()..],
            "what was added is gone"
        );
        wal.close().expect("closed");
    }
}

fn append(wal: &Wal, records: &[Record; 3]) -> Result<u64> {
    let first = wal.append(&records[0])?.lsn.get();
    wal.append_batch(&records[1..])?;
    wal.sync()?;
    Ok(first)
}

fn segments(image: &Image) -> Vec<(&str, &[u8])> {
    let files = image.files();
    files
        .filter(|(name, _)| {
            matches!(
                FileName::parse(name),
                FileName::Segment(_) | FileName::Spare(_) | FileName::Temporary(_)
            )
        })
        .collect()
}
