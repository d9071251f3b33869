//! Every kind of damage at every place of a small log: all data is there, or a typed error names the place. Never fewer
//! records without a word.
//!
//! What no single copy can tell is counted: damage to the last group of a log that was not closed, which nothing later
//! proves. It looks like a write that a crash cut short.

#![allow(clippy::print_stdout, reason = "the counts are for who asks for them")]

use std::sync::Arc;

use wal_core::blocking::Wal;
use wal_core::clock::ManualClock;
use wal_core::entropy::SeededEntropy;
use wal_core::{Error, FsyncPolicy, Lsn, RecordRef, WalConfig};
use wal_io::FaultStorage;
use wal_io::fault::{FaultConfig, Fill, Image, Site};

const SECTOR: u64 = 512;

/// A log at rest, and what is in it.
struct Reference {
    image: Image,
    values: Vec<Vec<u8>>,
    /// Where each record starts: segment file and offset.
    places: Vec<(String, u64)>,
    /// The newest segment, and where its last unproven group starts; `None` if all is proven.
    residual: Option<(String, u64)>,
}

fn open(storage: &FaultStorage) -> Result<Wal, Error> {
    Wal::builder("log")
        .storage(Arc::new(storage.clone()))
        .config(WalConfig {
            max_segment_size: 8 << 10,
            fsync_policy: FsyncPolicy::Always,
            preallocate: true,
            node_id: 3,
        })
        .clock(Arc::new(ManualClock::default()))
        .entropy(Arc::new(SeededEntropy::new(99)))
        .small_segments()
        .driven_by_caller()
        .open()
}

enum Stop {
    Close,
    Kill,
}

/// Three segments and a part of a fourth.
fn reference(stop: &Stop) -> Reference {
    let storage = FaultStorage::new();
    let wal = open(&storage).expect("a log");
    let mut values = Vec::new();
    let mut places = Vec::new();
    while wal.list_segments().expect("segments").len() < 4 || values.len() % 16 != 0 {
        let value: Vec<u8> = (0..150 + values.len() % 90)
            .map(|at| (at * 7 + values.len()) as u8)
            .collect();
        let position = wal.append(RecordRef::data(&value)).expect("appended");
        places.push((
            format!("{:020}.wal", position.segment_id.get()),
            position.offset.get(),
        ));
        values.push(value);
        let _ = wal.drive();
    }
    let (name, last) = places.last().cloned().expect("a record");
    let (image, residual) = match stop {
        Stop::Close => {
            wal.close().expect("closed");
            (storage.image(), None)
        }
        // The last record's group starts with a header of 64 bytes.
        Stop::Kill => (storage.kill().image(), Some((name, last - 64))),
    };
    drop(wal);
    Reference {
        image,
        values,
        places,
        residual,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    AllData,
    Told,
    Fewer(usize),
}

#[derive(Debug, Default)]
struct Counts {
    all_data: u64,
    told: u64,
    residual: u64,
}

fn verdict(reference: &Reference, storage: &FaultStorage) -> Verdict {
    let told = |error: &Error| {
        assert!(
            matches!(
                error,
                Error::Corruption(_)
                    | Error::MissingSegment { .. }
                    | Error::UnknownVersion { .. }
                    | Error::NotALog { .. }
            ),
            "an error without a place: {error}"
        );
        Verdict::Told
    };
    let wal = match open(storage) {
        Ok(wal) => wal,
        Err(error) => return told(&error),
    };
    let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
    let mut count = 0;
    loop {
        match reader.next_record() {
            Ok(Some((record, position))) => {
                assert_eq!(position.lsn.get(), count as u64 + 1);
                assert!(
                    record.value == reference.values[count],
                    "LSN {} has other bytes",
                    position.lsn
                );
                count += 1;
            }
            Ok(None) => break,
            Err(error) => return told(&error),
        }
    }
    if count == reference.values.len() {
        Verdict::AllData
    } else {
        Verdict::Fewer(count)
    }
}

/// Damage to some bytes of a file.
struct Damage<'a> {
    name: &'a str,
    bytes: std::ops::Range<u64>,
    what: &'a str,
}

fn judge(reference: &Reference, counts: &mut Counts, storage: &FaultStorage, damage: &Damage<'_>) {
    match verdict(reference, storage) {
        Verdict::AllData => counts.all_data += 1,
        Verdict::Told => counts.told += 1,
        Verdict::Fewer(count) => {
            let Damage { name, bytes, what } = damage;
            // Only damage that reaches the last group, and only records that it touched.
            let reaches = |(newest, from): &(String, u64)| newest == name && bytes.end > *from;
            let excused = reference.residual.as_ref().is_some_and(reaches);
            let (lost_in, lost_at) = &reference.places[count];
            let next = reference
                .places
                .get(count + 1)
                .filter(|(file, _)| file == lost_in);
            let touched = lost_in == name
                && next.is_none_or(|(_, end)| *end > bytes.start)
                && lost_at - 64 < bytes.end;
            assert!(
                excused && touched,
                "{what} in {name} at {bytes:?}: {count} records of {} without a word",
                reference.values.len()
            );
            counts.residual += 1;
        }
    }
}

fn damaged(reference: &Reference) -> FaultStorage {
    FaultStorage::from_image(FaultConfig::default(), &reference.image)
}

fn segments(reference: &Reference) -> Vec<(String, u64)> {
    let files = reference
        .image
        .files()
        .filter(|(name, _)| name.strip_suffix(".wal").is_some());
    files
        .map(|(name, bytes)| (name.to_owned(), bytes.len() as u64))
        .collect()
}

fn both() -> [(&'static str, Reference); 2] {
    [
        ("closed", reference(&Stop::Close)),
        ("killed", reference(&Stop::Kill)),
    ]
}

#[test]
fn every_bit() {
    for (state, reference) in both() {
        let mut counts = Counts::default();
        for (name, len) in segments(&reference) {
            for bit in 0..len * 8 {
                let storage = damaged(&reference);
                storage.flip_bits(&name, bit, 1).expect("a bit");
                let damage = Damage {
                    name: &name,
                    bytes: bit / 8..bit / 8 + 1,
                    what: "a flipped bit",
                };
                judge(&reference, &mut counts, &storage, &damage);
            }
        }
        println!("every bit of a {state} log: {counts:?}");
        // In a closed log nothing is left to chance.
        assert!(state == "killed" || counts.residual == 0, "{counts:?}");
        assert!(counts.told > 10_000, "{counts:?}");
    }
}

#[test]
fn every_sector() {
    for (state, reference) in both() {
        let mut counts = Counts::default();
        let all = segments(&reference);
        for (name, len) in &all {
            for offset in (0..*len).step_by(SECTOR as usize) {
                let site = || Site {
                    file: name,
                    sector: offset / SECTOR,
                };
                for fill in [Fill::Zeros, Fill::Ones, Fill::Garbage(offset)] {
                    let storage = damaged(&reference);
                    storage.fill_sector(site(), fill).expect("filled");
                    let damage = Damage {
                        name,
                        bytes: offset..offset + SECTOR,
                        what: &format!("{fill:?}"),
                    };
                    judge(&reference, &mut counts, &storage, &damage);
                }
                for (other, other_len) in &all {
                    for from in (0..*other_len).step_by(SECTOR as usize * 3) {
                        let storage = damaged(&reference);
                        storage
                            .copy_sector(
                                Site {
                                    file: other,
                                    sector: from / SECTOR,
                                },
                                site(),
                            )
                            .expect("copied");
                        let damage = Damage {
                            name,
                            bytes: offset..offset + SECTOR,
                            what: "a sector from elsewhere",
                        };
                        judge(&reference, &mut counts, &storage, &damage);
                    }
                }
            }
        }
        println!("every sector of a {state} log: {counts:?}");
        assert!(state == "killed" || counts.residual == 0, "{counts:?}");
    }
}

#[test]
fn every_truncation() {
    for (state, reference) in both() {
        let mut counts = Counts::default();
        for (name, len) in segments(&reference) {
            for cut in 0..len {
                let storage = damaged(&reference);
                storage.truncate_file(&name, cut).expect("cut");
                let damage = Damage {
                    name: &name,
                    bytes: cut..len,
                    what: "a cut file",
                };
                judge(&reference, &mut counts, &storage, &damage);
            }
        }
        println!("every truncation of a {state} log: {counts:?}");
    }
}

#[test]
fn every_file() {
    for (state, reference) in both() {
        let mut counts = Counts::default();
        let all = segments(&reference);
        for (name, _) in &all {
            let storage = damaged(&reference);
            storage.remove_file(name).expect("removed");
            judge(
                &reference,
                &mut counts,
                &storage,
                &Damage {
                    name,
                    bytes: 0..1,
                    what: "a missing file",
                },
            );
            for (other, _) in &all {
                if other != name {
                    let storage = damaged(&reference);
                    storage.swap_files(name, other).expect("swapped");
                    judge(
                        &reference,
                        &mut counts,
                        &storage,
                        &Damage {
                            name,
                            bytes: 0..1,
                            what: "two files swapped",
                        },
                    );
                    let storage = damaged(&reference);
                    storage.remove_file(name).expect("removed");
                    storage.duplicate_file(other, name).expect("copied");
                    judge(
                        &reference,
                        &mut counts,
                        &storage,
                        &Damage {
                            name,
                            bytes: 0..1,
                            what: "a copy of another file",
                        },
                    );
                }
            }
        }
        println!("every file of a {state} log: {counts:?}");
        assert_eq!(counts.residual, 0);
    }
}

/// A sector that never got its last write, as a disk that lost it would give back.
#[test]
fn every_lost_write() {
    let reference = reference(&Stop::Kill);
    let storage = FaultStorage::new();
    let wal = open(&storage).expect("a log");
    let half = reference.values.len() / 2;
    for value in &reference.values[..half] {
        wal.append(RecordRef::data(value)).expect("appended");
        let _ = wal.drive();
    }
    let older = storage.image();
    for value in &reference.values[half..] {
        wal.append(RecordRef::data(value)).expect("appended");
        let _ = wal.drive();
    }
    let image = storage.kill().image();
    drop(wal);
    let reference = Reference { image, ..reference };
    let mut counts = Counts::default();
    for (name, len) in segments(&reference) {
        if older.get(&name).is_none() {
            continue;
        }
        for offset in (0..len).step_by(SECTOR as usize) {
            let storage = damaged(&reference);
            if storage
                .revert_sector(
                    Site {
                        file: &name,
                        sector: offset / SECTOR,
                    },
                    &older,
                )
                .is_ok()
            {
                let damage = Damage {
                    name: &name,
                    bytes: offset..offset + SECTOR,
                    what: "a lost write",
                };
                judge(&reference, &mut counts, &storage, &damage);
            }
        }
    }
    println!("every lost write: {counts:?}");
    assert!(counts.told > 0, "{counts:?}");
}
