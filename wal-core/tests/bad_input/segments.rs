//! Segments of another version or log, cut short, without header, missing.

use std::fs;
use std::path::Path;

use wal_core::{Error, Lsn, RecordRef, Result};

use super::place::{Place, assert_names, assert_says};

/// Gives the header of a segment another version, with a checksum that holds.
fn set_version(path: &Path, version: u32) {
    let mut bytes = fs::read(path).expect("a segment");
    bytes[12..16].copy_from_slice(&version.to_le_bytes());
    bytes[8..12].fill(0);
    let checksum = wal_format::crc32(&bytes[..4096]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    fs::write(path, bytes).expect("written");
}

#[test]
fn a_segment_of_an_unknown_version() {
    for at in 0..4 {
        for version in [0, 3, u32::MAX] {
            let place = Place::with_a_log();
            set_version(&place.segments()[at], version);
            for error in place.refused() {
                assert_says(&error, &["version", &version.to_string(), "use a build"]);
                match error {
                    Error::UnknownVersion {
                        segment_id,
                        version: found,
                        known,
                        ..
                    } => {
                        assert_eq!(segment_id.get(), at as u64 + 1);
                        assert_eq!((found, known), (version, 2));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_segment_cut_short() {
    for at in 0..4 {
        for len in [0, 1, 100, 4095] {
            let place = Place::with_a_log();
            let file = fs::File::options()
                .write(true)
                .open(&place.segments()[at])
                .expect("a segment");
            file.set_len(len).expect("cut");
            for error in place.refused() {
                assert_says(&error, &["segment", "corruption", "restore"]);
                match error {
                    Error::Corruption(damage) => {
                        assert_eq!(damage.segment_id.get(), at as u64 + 1);
                    }
                    other => panic!("{at}, {len}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_segment_cut_short_behind_its_header() {
    for at in 0..4 {
        for len in [4096, 4100, 4224, 4240] {
            let place = Place::with_a_log();
            let file = fs::File::options()
                .write(true)
                .open(&place.segments()[at])
                .expect("a segment");
            file.set_len(len).expect("cut");
            let before = place.image();
            let verified =
                wal_core::Offline::at(place.path()).verify(wal_core::VerifyOptions::default());
            let found = match &verified {
                Ok(report) => report.damage().next().cloned(),
                Err(error) => Some(error.clone()),
            };
            let error = found.unwrap_or_else(|| panic!("{at}, {len}: it is not found"));
            assert!(matches!(error, Error::Corruption(_)), "{error:?}");
            assert_names(&error, &place.path());
            assert!(place.image() == before);
            // Whoever reads finds it, and nothing is left out in silence.
            let read = place.look().and_then(|wal| {
                let reader = wal.read_from(Lsn::ZERO)?;
                reader.collect::<Result<Vec<_>>>()
            });
            assert!(matches!(read, Err(Error::Corruption(_))), "{at}, {len}");
        }
    }
}

#[test]
fn a_segment_without_a_header() {
    for at in 0..4 {
        for content in [
            vec![0; 8192],
            vec![0xFF; 8192],
            b"not a segment".repeat(1000),
        ] {
            let place = Place::with_a_log();
            fs::write(&place.segments()[at], content).expect("written");
            for error in place.refused() {
                assert_says(&error, &["header", "restore the segment from a copy"]);
                match error {
                    Error::Corruption(damage) => {
                        assert_eq!(damage.segment_id.get(), at as u64 + 1);
                        assert_eq!(damage.offset.get(), 0);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_segment_under_another_ones_name() {
    let place = Place::with_a_log();
    let segments = place.segments();
    fs::copy(&segments[1], &segments[2]).expect("copied");
    for error in place.refused() {
        match error {
            Error::Corruption(damage) => assert_eq!(damage.segment_id.get(), 3),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_missing_segment() {
    // The first, two in the middle. (That the first segment of a life is missing can only be seen while one follows it.)
    for at in 0..3 {
        let place = Place::with_a_log();
        fs::remove_file(&place.segments()[at]).expect("removed");
        for error in place.refused() {
            assert_says(&error, &["missing", "put the file back from a copy"]);
            match error {
                Error::MissingSegment {
                    segment_id,
                    needed_by,
                    ..
                } => {
                    assert_eq!(segment_id.get(), at as u64 + 1);
                    assert!(!needed_by.is_empty());
                }
                other => panic!("{at}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_missing_newest_segment() {
    let place = Place::empty();
    let wal = place.open().expect("a log");
    for _ in 0..25 {
        let record = vec![7; 100_000];
        wal.append(RecordRef::data(&record)).expect("appended");
    }
    wal.close().expect("closed");
    let newest = place.segments().pop().expect("a segment");
    fs::remove_file(newest).expect("removed");
    for error in place.refused() {
        assert_says(&error, &["segment 3 is missing", "the footer of segment 2"]);
        assert!(matches!(error, Error::MissingSegment { .. }), "{error:?}");
    }
}

#[test]
fn several_missing_segments() {
    let place = Place::with_a_log();
    let segments = place.segments();
    fs::remove_file(&segments[1]).expect("removed");
    fs::remove_file(&segments[2]).expect("removed");
    for error in place.refused() {
        assert!(matches!(error, Error::MissingSegment { .. }), "{error:?}");
    }
}

#[test]
fn a_segment_from_another_log() {
    for at in 0..4 {
        let place = Place::with_a_log();
        let other = Place::with_a_log();
        fs::copy(&other.segments()[at], &place.segments()[at]).expect("copied");
        for error in place.refused() {
            assert_says(&error, &["log"]);
            assert!(matches!(error, Error::Corruption(_)), "{error:?}");
        }
    }
}

#[test]
fn a_segment_from_an_older_copy_of_the_log() {
    // Put back over a newer one: other bytes under the same name.
    let place = Place::empty();
    let wal = place.open().expect("a log");
    for _ in 0..15 {
        wal.append(RecordRef::data(&vec![1; 100_000]))
            .expect("appended");
    }
    wal.flush().expect("flushed");
    let newest = place.segments().pop().expect("a segment");
    let older = fs::read(&newest).expect("a segment");
    wal.append(RecordRef::data(b"more")).expect("appended");
    wal.close().expect("closed");
    let wal = place.open().expect("a log");
    wal.append(RecordRef::data(b"still more"))
        .expect("appended");
    wal.close().expect("closed");
    fs::write(&newest, older).expect("written");
    let read = place.look().and_then(|wal| {
        let reader = wal.read_from(Lsn::ZERO)?;
        reader.collect::<Result<Vec<_>>>()
    });
    let error = read.expect_err("it is found");
    assert!(matches!(error, Error::Corruption(_)), "{error:?}");
}
