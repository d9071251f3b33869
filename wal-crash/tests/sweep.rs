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
use wal_core::{Alignment, Error, FormatVersion, FsyncPolicy, Lsn, RecordRef, WalConfig};
use wal_io::FaultStorage;
use wal_io::fault::{Fault, FaultConfig, Fill, Image, Moment, OperationKind, Site};

const SECTOR: u64 = 512;

/// A log at rest, and what is in it.
struct Reference {
    state: State,
    format: Format,
    image: Image,
    /// LSN of the first record.
    first: u64,
    values: Vec<Vec<u8>>,
    /// Where each record starts: segment file and offset.
    places: Vec<(String, u64)>,
    /// The newest segment, and where its last unproven group starts; `None` if all is proven.
    residual: Option<(String, u64)>,
}

/// Without a version it keeps that of the log.
fn open_with(
    storage: &FaultStorage,
    padding: Option<Alignment>,
    version: Option<FormatVersion>,
    seed: u64,
) -> Result<Wal, Error> {
    let builder = Wal::builder("log")
        .storage(Arc::new(storage.clone()))
        .config(WalConfig {
            max_segment_size: 8 << 10,
            fsync_policy: FsyncPolicy::Always,
            preallocate: true,
            node_id: 3,
        })
        .clock(Arc::new(ManualClock::default()))
        .entropy(Arc::new(SeededEntropy::new(seed)))
        .small_segments()
        .driven_by_caller();
    let builder = match version {
        Some(version) => builder.format_version(version),
        None => builder,
    };
    match padding {
        Some(padding) => builder.sector_padding(padding).open(),
        None => builder.open(),
    }
}

/// Bytes of a segment's header.
const HEADER: u64 = 4096;

/// The versions of the format in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    One,
    Two,
    /// Two segments of version 1, then version 2.
    Mixed,
}

impl Format {
    const ALL: [Self; 3] = [Self::One, Self::Two, Self::Mixed];

    /// Of new segments, when the log has this many.
    fn version(self, segments: usize) -> FormatVersion {
        match self {
            Self::Mixed if segments > 2 => FormatVersion::V2,
            Self::One | Self::Mixed => FormatVersion::V1,
            Self::Two => FormatVersion::V2,
        }
    }
}

/// What the log went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Killed,
    /// With groups that begin at sectors, and killed.
    Padded,
    /// Killed in the middle of an append, recovered with a copy of its tail, then truncated at both ends, and killed.
    Recovered,
}

impl State {
    const ALL: [Self; 4] = [Self::Closed, Self::Killed, Self::Recovered, Self::Padded];

    fn padding(self) -> Option<Alignment> {
        (self == Self::Padded).then_some(Alignment::Sector512)
    }
}

fn value(n: usize) -> Vec<u8> {
    (0..150 + n % 90).map(|at| (at * 7 + n) as u8).collect()
}

fn append(wal: &Wal, n: usize) {
    wal.append(RecordRef::data(&value(n))).expect("appended");
    let _ = wal.drive();
}

/// Three segments and a part of a fourth.
fn reference(state: State, format: Format) -> Reference {
    let mut storage = FaultStorage::new();
    let open = |storage: &FaultStorage, segments| {
        let version = Some(format.version(segments));
        open_with(storage, state.padding(), version, 99 + segments as u64).expect("a log")
    };
    let mut wal = open(&storage, 1);
    let mut n = 0;
    loop {
        let segments = wal.list_segments().expect("segments").len();
        if segments >= 4 && n % 16 == 0 {
            break;
        }
        append(&wal, n);
        n += 1;
        if format == Format::Mixed && segments == 2 && n % 16 == 0 {
            wal.close().expect("closed");
            wal = open(&storage, 3);
        }
    }
    if state == State::Recovered {
        // Written, and killed before it was synced: recovery copies it.
        let cut = Fault::power_cut(Moment::Before).on(OperationKind::SyncData);
        storage.inject(cut);
        let cut_short = wal.append(RecordRef::data(&value(n)));
        assert!(cut_short.is_err());
        let last = n as u64;
        storage = storage.kill();
        wal = open(&storage, 4);
        assert_eq!(wal.recovery_report().unproven, 1);
        assert_eq!(wal.last_lsn().get(), last + 1);
        append(&wal, n + 1);
        append(&wal, n + 2);
        wal.truncate_after(Lsn::new(last + 2)).expect("truncated");
        wal.truncate_before(Lsn::new(last / 2)).expect("truncated");
        for more in 0..3 {
            append(&wal, n + 500 + more);
        }
    }
    let first = wal.first_lsn().get();
    let (mut values, mut places) = (Vec::new(), Vec::new());
    let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
    while let Some((record, position)) = reader.next_record().expect("read") {
        values.push(record.value.to_vec());
        places.push((
            format!("{:020}.wal", position.segment_id.get()),
            position.offset.get(),
        ));
    }
    let (name, _) = places.last().cloned().expect("a record");
    let (image, residual) = if state == State::Closed {
        wal.close().expect("closed");
        (storage.image(), None)
    } else {
        let from = written_from(&places, places.len() - 1);
        (storage.kill().image(), Some((name, from)))
    };
    drop(wal);
    Reference {
        state,
        format,
        image,
        first,
        values,
        places,
        residual,
    }
}

/// Where the write begins that brought record `at`, alone in its group: with the group's header of 64 bytes, or, for the first
/// of a segment, with the link before it.
fn written_from(places: &[(String, u64)], at: usize) -> u64 {
    let (name, offset) = &places[at];
    let first = at
        .checked_sub(1)
        .is_none_or(|before| places[before].0 != *name);
    if first { HEADER } else { offset - 64 }
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
    let wal = match open_with(storage, reference.state.padding(), None, 98) {
        Ok(wal) => wal,
        Err(error) => return told(&error),
    };
    let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
    let mut count = 0;
    loop {
        match reader.next_record() {
            Ok(Some((record, position))) => {
                // Nothing that was truncated comes back, at neither end.
                assert_eq!(position.lsn.get(), reference.first + count as u64);
                assert!(count < reference.values.len(), "more than there was");
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
            let (lost_in, _) = &reference.places[count];
            let next = reference
                .places
                .get(count + 1)
                .filter(|(file, _)| file == lost_in);
            let touched = lost_in == name
                && next.is_none_or(|(_, end)| *end > bytes.start)
                && written_from(&reference.places, count) < bytes.end;
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

/// Each log on a thread of its own.
fn all(sweep: impl Fn(Reference) + Sync) {
    let of_format = |format| State::ALL.map(|state| reference(state, format));
    let logs = Format::ALL.into_iter().flat_map(of_format);
    std::thread::scope(|scope| {
        for log in logs {
            scope.spawn(|| sweep(log));
        }
    });
}

#[test]
fn every_bit() {
    all(|reference| {
        let (state, format) = (reference.state, reference.format);
        let mut counts = Counts::default();
        for (name, len) in segments(&reference) {
            // All of them in the first two; a bit of each byte in the others, whose bytes are of the same kinds.
            let all = matches!(state, State::Closed | State::Killed) && format != Format::Mixed;
            let bits = (0..len * 8).filter(|bit| all || bit % 8 == bit / 8 % 8);
            for bit in bits {
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
        println!("every bit of a {state:?} log, {format:?}: {counts:?}");
        // In a closed log nothing is left to chance.
        assert!(state != State::Closed || counts.residual == 0, "{counts:?}");
        assert!(counts.told > 1000, "{counts:?}");
    });
}

#[test]
fn every_sector() {
    all(|reference| {
        let (state, format) = (reference.state, reference.format);
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
                if offset + 2 * SECTOR <= *len {
                    let storage = damaged(&reference);
                    let bytes = reference.image.get(name).expect("the file");
                    let (at, sector) = (offset as usize, SECTOR as usize);
                    let next = &bytes[at + sector..at + 2 * sector];
                    let swapped = [next, &bytes[at..at + sector]].concat();
                    storage.overwrite(name, offset, &swapped).expect("written");
                    let damage = Damage {
                        name,
                        bytes: offset..offset + 2 * SECTOR,
                        what: "two sectors swapped",
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
        println!("every sector of a {state:?} log, {format:?}: {counts:?}");
        assert!(state != State::Closed || counts.residual == 0, "{counts:?}");
    });
}

#[test]
fn every_truncation() {
    all(|reference| {
        let (state, format) = (reference.state, reference.format);
        let mut counts = Counts::default();
        for (name, len) in segments(&reference) {
            for more in [1, 63, 64, 512, 4096] {
                let storage = damaged(&reference);
                let bytes: Vec<u8> = (0..more).map(|at| (at * 31 + 5) as u8).collect();
                storage.extend_file(&name, &bytes).expect("extended");
                let damage = Damage {
                    name: &name,
                    bytes: len..len + more,
                    what: "an extended file",
                };
                judge(&reference, &mut counts, &storage, &damage);
            }
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
        println!("every truncation of a {state:?} log, {format:?}: {counts:?}");
    });
}

/// Another log's segments 1 to 9, small ones.
fn another_log() -> Image {
    let storage = FaultStorage::new();
    let wal = open_with(&storage, None, None, 1234).expect("a log");
    for n in 0..400 {
        append(&wal, n);
    }
    drop(wal);
    storage.image()
}

fn judge_file(
    reference: &Reference,
    counts: &mut Counts,
    storage: &FaultStorage,
    name: &str,
    what: &str,
) {
    let damage = Damage {
        name,
        bytes: 0..1,
        what,
    };
    judge(reference, counts, storage, &damage);
}

#[test]
fn every_file() {
    all(|reference| {
        let (state, format) = (reference.state, reference.format);
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
            let storage = damaged(&reference);
            storage
                .restore_file(name, &another_log())
                .or_else(|_| storage.duplicate_file(&all[0].0, name))
                .expect("replaced");
            let what = "a file of another log";
            judge_file(&reference, &mut counts, &storage, name, what);
            let storage = damaged(&reference);
            storage
                .duplicate_file(name, "00000000000000000099.wal")
                .expect("copied");
            let what = "a copy under a newer name";
            judge_file(&reference, &mut counts, &storage, name, what);
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
        println!("every file of a {state:?} log, {format:?}: {counts:?}");
        assert_eq!(counts.residual, 0);
    });
}

/// A sector that never got its last write, as a disk that lost it would give back.
#[test]
fn every_lost_write() {
    for version in [FormatVersion::V1, FormatVersion::V2] {
        lost_writes(version);
    }
}

fn lost_writes(version: FormatVersion) {
    let format = match version {
        FormatVersion::V1 => Format::One,
        _ => Format::Two,
    };
    let reference = reference(State::Killed, format);
    let storage = FaultStorage::new();
    let wal = open_with(&storage, None, Some(version), 99).expect("a log");
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
    println!("every lost write, {format:?}: {counts:?}");
    assert!(counts.told > 0, "{counts:?}");
}
