//! Small logs that the log itself made: what is damaged, and what must then still be there.
//!
//! Deliberately absent: knowledge of how the log writes. Where its groups lie is read back with the decoder.

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::clock::ManualClock;
use wal_core::entropy::SeededEntropy;
use wal_core::{
    Alignment, Compression, FormatVersion, FsyncPolicy, Lsn, Record, Result, WalConfig,
};
use wal_format::{
    Epoch, FileName, GroupBody, GroupFacts, GroupKind, HEADER_LEN, SegmentHeader, SegmentId,
    SegmentView, segment_name,
};
use wal_io::FaultStorage;
use wal_io::fault::Image;

/// A log at rest, and what is in it.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) image: Image,
    /// The same log when it was shorter.
    pub(crate) older: Image,
    /// The first LSN.
    pub(crate) first: u64,
    /// The records from there on.
    pub(crate) records: Vec<Record>,
    /// The highest LSN that the files prove.
    pub(crate) proven: u64,
    pub(crate) groups: Vec<Group>,
    /// Of the segments, the newest; `Some` LSN if the one before it does not name it: without the newest, the log would
    /// look whole.
    pub(crate) newest: String,
    pub(crate) unnamed: bool,
}

/// Where a group lies; the first one of a segment reaches back to the file's start.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) file: String,
    pub(crate) bytes: Range<u64>,
    /// Without it, this LSN and those behind it are not read.
    pub(crate) first: u64,
    /// The last LSN in it; below `first` if there is none.
    pub(crate) last: u64,
}

impl Base {
    /// The last LSN.
    pub(crate) fn last(&self) -> u64 {
        self.first + self.records.len() as u64 - 1
    }
}

/// All of them.
pub(crate) fn all() -> &'static [Base] {
    static ALL: OnceLock<Vec<Base>> = OnceLock::new();
    ALL.get_or_init(|| {
        [Format::One, Format::Two, Format::OneThenTwo]
            .into_iter()
            .flat_map(of_format)
            .collect()
    })
}

/// The versions of the format in a log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    One,
    Two,
    /// Version 1 up to the first close or kill.
    OneThenTwo,
}

fn of_format(format: Format) -> Vec<Base> {
    use Step::{Append, Batch, Close, Flush, Kill, Stamp, Sync, TruncateBefore};
    let plain = |policy| Maker::new(format, policy, None);
    let before = match format {
        Format::One | Format::Two => &[][..],
        // Short, so that version 2 is at the end of most.
        Format::OneThenTwo => &[Append(25), Close],
    };
    let policies: [(Maker, &[Step]); 5] = [
        (plain(FsyncPolicy::Always), &[Append(70), Close]),
        (plain(FsyncPolicy::Always), &[Append(70), Kill]),
        (
            plain(FsyncPolicy::Os),
            &[
                Append(50),
                Batch(3),
                Sync,
                Append(9),
                Flush,
                Batch(4),
                Flush,
                Kill,
            ],
        ),
        (
            plain(FsyncPolicy::Batch(Duration::from_millis(5))),
            &[
                Append(40),
                Flush,
                Kill,
                Append(20),
                Batch(5),
                Flush,
                Kill,
                Append(3),
                Sync,
                Stamp,
                Append(2),
                Flush,
                Kill,
            ],
        ),
        (
            Maker::new(format, FsyncPolicy::Always, Some(Alignment::Sector512)),
            &[Append(12), TruncateBefore(9), Close, Append(6), Close],
        ),
    ];
    policies
        .into_iter()
        .map(|(maker, steps)| maker.run(&[before, steps].concat()))
        .collect()
}

/// A segment header as that version of the format has it, for files made by hand.
pub(crate) fn header(id: SegmentId, version: FormatVersion) -> SegmentHeader {
    let first = segment_name(SegmentId::FIRST);
    let found = all().iter().find_map(|base| {
        let header = SegmentHeader::decode(base.image.get(&first)?, SegmentId::FIRST).ok()?;
        (header.version == version).then_some(header)
    });
    let header = found.expect("there is a log of each version");
    SegmentHeader {
        segment_id: id,
        epoch: Epoch::new(8 + id.get()),
        allocated: HEADER_LEN,
        ..header
    }
}

/// Bytes that no compression shrinks, the same each time (`SplitMix64`).
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = state;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    };
    (0..len).map(|_| next() as u8).collect()
}

/// Opens for writing, with the smallest segments and without threads. No two opens of a log have the same `seed`.
pub(crate) fn open(
    storage: &FaultStorage,
    policy: FsyncPolicy,
    padding: Option<Alignment>,
    version: Option<FormatVersion>,
    seed: u64,
) -> Result<Wal> {
    let builder = Wal::builder("log")
        .storage(Arc::new(storage.clone()))
        .config(WalConfig {
            max_segment_size: 8 << 10,
            fsync_policy: policy,
            preallocate: true,
            node_id: 3,
        })
        .buffer_size(4 << 10)
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

#[derive(Clone, Copy)]
enum Step {
    Append(u64),
    Batch(u64),
    Sync,
    Flush,
    Stamp,
    TruncateBefore(u64),
    Kill,
    Close,
}

struct Maker {
    format: Format,
    policy: FsyncPolicy,
    padding: Option<Alignment>,
    storage: FaultStorage,
    records: Vec<Record>,
}

impl Maker {
    fn new(format: Format, policy: FsyncPolicy, padding: Option<Alignment>) -> Self {
        Self {
            format,
            policy,
            padding,
            storage: FaultStorage::new(),
            records: Vec::new(),
        }
    }

    fn record(&mut self) -> Record {
        let n = self.records.len() as u64;
        let value = noise(100 + (n * 37 % 90) as usize, n);
        let record = match n % 5 {
            0 => Record::put(n.to_le_bytes(), value.repeat(2)).with_compression(Compression::Lz4),
            1 => Record::put(n.to_le_bytes(), value.repeat(2)).with_compression(Compression::Zstd),
            2 => Record::delete(n.to_le_bytes()),
            _ => Record::data(value),
        };
        self.records.push(record.clone());
        record
    }

    fn run(mut self, steps: &[Step]) -> Base {
        let mut wal = self.open(0);
        let mut older = Image::new();
        for (at, step) in steps.iter().enumerate() {
            match *step {
                Step::Append(count) => {
                    for n in 0..count {
                        if n == count / 2 {
                            older = self.storage.image();
                        }
                        let record = self.record();
                        wal.append(&record).expect("appended");
                        let _ = wal.drive();
                    }
                }
                Step::Batch(count) => {
                    let batch: Vec<_> = (0..count).map(|_| self.record()).collect();
                    wal.append_batch(&batch).expect("appended");
                }
                Step::Sync => wal.sync().expect("synced"),
                Step::Flush => wal.flush().expect("flushed"),
                // An idle log gets one; here the clock stands still, and a truncation that removes nothing writes a group too.
                Step::Stamp => wal.truncate_before(wal.first_lsn()).expect("kept"),
                Step::TruncateBefore(lsn) => wal.truncate_before(lsn).expect("truncated"),
                Step::Close => wal.close().expect("closed"),
                Step::Kill => self.storage = self.storage.kill(),
            }
            let ended = matches!(step, Step::Kill | Step::Close);
            if ended && at + 1 < steps.len() {
                wal = self.open(at as u64 + 1);
            }
        }
        drop(wal);
        self.finish(older)
    }

    fn open(&self, seed: u64) -> Wal {
        let version = match (self.format, seed) {
            (Format::One, _) | (Format::OneThenTwo, 0) => FormatVersion::V1,
            (Format::Two | Format::OneThenTwo, _) => FormatVersion::V2,
        };
        let version = Some(version);
        open(&self.storage, self.policy, self.padding, version, seed).expect("a log")
    }

    fn finish(self, older: Image) -> Base {
        let image = self.storage.image();
        let wal = Wal::builder("log")
            .storage(Arc::new(self.storage))
            .read_only()
            .open();
        let wal = wal.expect("a log");
        let (first, last) = (wal.first_lsn(), wal.last_lsn());
        let proven = wal.recovery_report().proven_lsn.get();
        assert_eq!(last.get(), self.records.len() as u64);
        let read: Vec<_> = wal.read_from(Lsn::ZERO).expect("a reader").collect();
        assert_eq!(read.len() as u64, last.get() + 1 - first.get());
        let mut groups = Vec::new();
        let mut newest = (String::new(), false);
        let mut named = SegmentId::NONE;
        for (name, bytes) in image.files() {
            if let FileName::Segment(id) = FileName::parse(name) {
                newest = (name.to_owned(), named != id);
                named = note_groups(name, id, bytes, &mut groups);
            }
        }
        let records = self.records[first.get() as usize - 1..].to_vec();
        Base {
            image,
            older,
            first: first.get(),
            records,
            proven,
            groups,
            newest: newest.0,
            unnamed: newest.1,
        }
    }
}

/// Notes where the groups of a segment lie; returns the successor that its footer names.
fn note_groups(name: &str, id: SegmentId, bytes: &[u8], groups: &mut Vec<Group>) -> SegmentId {
    let view = SegmentView::parse(bytes, id).expect("the log wrote it");
    let align = view.header().alignment;
    let mut successor = SegmentId::NONE;
    for group in view.groups().map_while(std::result::Result::ok) {
        let header = group.header;
        let start = match header.kind {
            GroupKind::Link => 0,
            _ => header.offset.get(),
        };
        if let GroupBody::Facts(GroupFacts::Footer(footer)) = &group.body {
            successor = footer.successor;
        }
        groups.push(Group {
            file: name.to_owned(),
            bytes: start..align.round_up(header.end_offset()),
            first: header.first_lsn.get(),
            last: header.end_lsn().get(),
        });
    }
    successor
}
