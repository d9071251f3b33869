//! The one encoder of groups: fills a buffer that goes to the file in one write.
//!
//! Deliberately absent: the segment's end. The caller asks where a group would end and rotates.

use super::Frame;
use super::footer::{FooterFacts, encode_footer};
use super::header::{GroupHeader, GroupKind};
use super::index::{IndexBuilder, PageFacts};
use super::link::LinkBody;
use crate::checksum::{Digest, crc32};
use crate::control::{Control, ControlChange, encode_changes};
use crate::ids::{Lsn, Offset};
use crate::limits::{GROUP_HEADER_LEN, HEADER_LEN};
use crate::record::UnixMillis;
use crate::record::{EncodedRecord, remask_record};
use crate::version::Version;
use crate::wire::{put, u32_at};

/// A group of records that still grows: its header's place is kept free.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Where it starts in the buffer.
    at: usize,
    first_lsn: Lsn,
    digest: Digest,
    set_back: bool,
}

/// Builds groups, one behind the other, in one buffer.
///
/// ```
/// use wal_format::*;
///
/// let epoch = Epoch::new(9);
/// let salt = Salt::new(LogId::from_bytes([7; 16]), epoch);
/// let version = Version::V1;
/// let frame = Frame { version, salt, epoch, alignment: Alignment::Eight };
/// let mut groups = GroupWriter::new(frame, 4096);
/// // After the link, whose checksum the caller remembers.
/// groups.reset(frame, Offset::new(4224), 0x1234, Lsn::FIRST);
///
/// let record = RecordRef::data(b"payload");
/// let record = EncodedRecord::new(record, InBatch::Last, UnixMillis::new(0), 1 << 20)?;
/// assert_eq!(groups.push(&record), (Lsn::new(1), Offset::new(4224 + 64)));
/// assert_eq!(groups.push(&record), (Lsn::new(2), Offset::new(4224 + 64 + 13)));
/// groups.close_group(Lsn::ZERO);
///
/// assert_eq!(groups.bytes().len(), 64 + 2 * 13 + 6);
/// assert_eq!(groups.next_lsn(), Lsn::new(3));
/// # Ok::<(), EncodeError>(())
/// ```
#[derive(Debug)]
pub struct GroupWriter {
    frame: Frame,
    start: Offset,
    previous: u32,
    next_lsn: Lsn,
    records: u64,
    open: Option<Open>,
    finished: bool,
    /// The time of groups that end now.
    time: UnixMillis,
    /// The next LSN when the time was set.
    timed: Lsn,
    /// The clock was set back since the last group of records.
    set_back: bool,
    buffer: Vec<u8>,
}

impl GroupWriter {
    /// A writer at the start of a segment (where the link goes, and the first LSN of a log is
    /// next), with a buffer of `capacity` bytes that grows when it must.
    #[must_use]
    pub fn new(frame: Frame, capacity: usize) -> Self {
        Self {
            frame,
            start: Offset::new(HEADER_LEN),
            previous: 0,
            next_lsn: Lsn::FIRST,
            records: 0,
            open: None,
            finished: false,
            time: UnixMillis::new(0),
            timed: Lsn::ZERO,
            set_back: false,
            buffer: Vec::with_capacity(capacity),
        }
    }

    /// Forgets what was written, keeps the buffer, and begins at file offset `start`, behind a
    /// group with the checksum `previous` (0 at the link), where `next_lsn` is next.
    ///
    /// # Panics
    ///
    /// If no group may start at `start`, or `next_lsn` is 0.
    pub fn reset(&mut self, frame: Frame, start: Offset, previous: u32, next_lsn: Lsn) {
        assert!(start.get() >= HEADER_LEN && start.get().is_multiple_of(frame.alignment.get()));
        assert!(next_lsn > Lsn::ZERO);
        self.frame = frame;
        self.start = start;
        self.previous = previous;
        self.next_lsn = next_lsn;
        self.records = 0;
        self.open = None;
        self.finished = false;
        self.set_back = false;
        self.buffer.clear();
    }

    /// Writes a whole link: the first group of a segment. Its first LSN is the next one.
    ///
    /// # Panics
    ///
    /// If it is not at the start of a segment, or `body.end_lsn` is not the LSN before the next.
    pub fn link(&mut self, body: &LinkBody, watermark: Lsn) {
        assert!(self.end().get() == HEADER_LEN && self.previous == 0);
        assert!(body.end_lsn == self.next_lsn.prev());
        self.whole(GroupKind::Link, &body.encode(self.frame.version), watermark);
        self.pad();
    }

    /// Writes a stamp: a group that only carries a watermark. Closes the open group first, with
    /// the same watermark.
    ///
    /// # Panics
    ///
    /// As [`close_group`](Self::close_group).
    pub fn stamp(&mut self, watermark: Lsn) {
        self.close_group(watermark);
        self.whole(GroupKind::Stamp, &[], watermark);
        self.pad();
    }

    /// Sets the time of the groups that end from now on, in milliseconds since 1970. Set it after the last record of a group,
    /// before the group is closed: no record may be later than its group. Files of version 1 do not have it.
    pub fn set_time(&mut self, now: UnixMillis) {
        self.time = now;
        self.timed = self.next_lsn;
    }

    /// Says with the next group of records that the clock was set back before it. Files of version 1 do not have it.
    pub fn set_back(&mut self) {
        self.set_back = true;
    }

    /// Writes a table of the control state. Closes the open group first, with the same watermark.
    ///
    /// # Panics
    ///
    /// As [`close_group`](Self::close_group) and [`Control::table`]; in a file of version 1.
    pub fn control(&mut self, control: &Control, watermark: Lsn) {
        assert!(self.frame.version >= Version::V2);
        self.close_group(watermark);
        self.whole(GroupKind::Control, &control.table(), watermark);
        self.pad();
    }

    /// Writes changes of the control state, at least one. Closes the open group first, with the same watermark.
    ///
    /// # Panics
    ///
    /// As [`close_group`](Self::close_group) and [`Control::table`]; in a file of version 1; without changes.
    pub fn change(&mut self, changes: &[ControlChange], watermark: Lsn) {
        assert!(self.frame.version >= Version::V2 && !changes.is_empty());
        self.close_group(watermark);
        self.whole(GroupKind::Control, &encode_changes(changes), watermark);
        self.pad();
    }

    /// Writes the pages of an index, as many as fit in `room` bytes of file, none perhaps. Returns where the first one stands,
    /// and what the footer says of each. Like the footer, it follows durable groups only.
    ///
    /// # Panics
    ///
    /// If a group of records is open; in a file of version 1.
    pub fn index(&mut self, index: &IndexBuilder, room: u64) -> (Offset, Vec<PageFacts>) {
        assert!(self.frame.version >= Version::V2 && self.open.is_none());
        let start = Offset::new(self.position().get() + GROUP_HEADER_LEN as u64);
        let room = self.frame.alignment.round_down(room);
        let room = room.saturating_sub(GROUP_HEADER_LEN as u64);
        let (pages, facts) = index.pages(room, start, self.frame.salt);
        if facts.is_empty() {
            return (Offset::new(0), facts);
        }
        self.whole(GroupKind::Index, &pages, self.next_lsn.prev());
        self.pad();
        (start, facts)
    }

    /// Writes a cut: the log's first LSN is `log_first` from here on. Closes the open group first,
    /// with the same watermark. From version 2 on it is a change of the control state.
    ///
    /// # Panics
    ///
    /// As [`close_group`](Self::close_group).
    pub fn cut(&mut self, log_first: Lsn, watermark: Lsn) {
        if self.frame.version >= Version::V2 {
            return self.change(&[ControlChange::First(log_first)], watermark);
        }
        self.close_group(watermark);
        self.whole(GroupKind::Cut, &log_first.get().to_le_bytes(), watermark);
        self.pad();
    }

    /// Writes a gap: the next LSNs, up to `to`, have no records any more. As many groups as it takes.
    /// Closes the open group first, with the same watermark.
    ///
    /// # Panics
    ///
    /// As [`close_group`](Self::close_group); if `to` is below the next LSN.
    pub fn gap(&mut self, to: Lsn, watermark: Lsn) {
        assert!(to >= self.next_lsn, "a gap takes at least one LSN");
        self.close_group(watermark);
        while self.next_lsn <= to {
            let left = to.get() - self.next_lsn.get() + 1;
            let count = u32::try_from(left).unwrap_or(u32::MAX);
            self.without_records(GroupKind::Gap, count, &[], watermark);
            self.next_lsn = Lsn::new(self.next_lsn.get() + u64::from(count));
            self.pad();
        }
    }

    /// Writes the footer: the last group of a segment, without padding. Its watermark says that
    /// all before it is durable, so nothing may be written with it that is not.
    ///
    /// # Panics
    ///
    /// If a group of records is open: its records would be proven durable by the very write that
    /// brings them.
    pub fn footer(&mut self, facts: &FooterFacts<'_>) {
        assert!(
            self.open.is_none(),
            "a footer is written behind durable groups only"
        );
        let payload = encode_footer(
            facts,
            self.frame,
            self.end(),
            self.next_lsn.prev(),
            self.previous,
        );
        self.whole(GroupKind::Footer, &payload, self.next_lsn.prev());
        self.finished = true;
    }

    /// Appends a record to the open group of records, and opens one if none is. Returns the LSN
    /// that it got and where it starts in the file.
    ///
    /// # Panics
    ///
    /// Behind a footer.
    #[inline]
    pub fn push(&mut self, record: &EncodedRecord<'_>) -> (Lsn, Offset) {
        if self.open.is_none() {
            self.open_group();
        }
        let (lsn, offset) = (self.next_lsn, self.position());
        let mask = self.frame.salt.record_mask(lsn, offset);
        record.write_to(&mut self.buffer, mask);
        self.count(record.checksum(mask));
        (lsn, offset)
    }

    /// Appends a record as it is stored elsewhere: `record` is exactly its bytes, verified under
    /// the mask `old`. For copying records from one segment to another.
    ///
    /// # Panics
    ///
    /// Behind a footer, or if `record` is shorter than a checksum.
    pub fn push_stored(&mut self, record: &[u8], old: u32) -> (Lsn, Offset) {
        if self.open.is_none() {
            self.open_group();
        }
        let (lsn, offset) = (self.next_lsn, self.position());
        let at = self.buffer.len();
        self.buffer.extend_from_slice(record);
        remask_record(
            &mut self.buffer[at..],
            old,
            self.frame.salt.record_mask(lsn, offset),
        );
        self.count(u32_at(&self.buffer, at));
        (lsn, offset)
    }

    #[cold]
    fn open_group(&mut self) {
        assert!(!self.finished, "nothing follows a footer");
        self.open = Some(Open {
            at: self.buffer.len(),
            first_lsn: self.next_lsn,
            digest: Digest::new(),
            set_back: std::mem::take(&mut self.set_back),
        });
        self.buffer.extend_from_slice(&[0; GROUP_HEADER_LEN]);
    }

    #[inline]
    fn count(&mut self, checksum: u32) {
        if let Some(open) = &mut self.open {
            open.digest.push(checksum);
        }
        self.next_lsn = self.next_lsn.next();
        self.records += 1;
    }

    /// Closes the open group of records, if one is: fills in its header and pads. Returns the
    /// checksum of the last group, which the next one chains to.
    ///
    /// # Panics
    ///
    /// If `watermark` is not below the group's first LSN, or the payload has 4 GiB or more.
    pub fn close_group(&mut self, watermark: Lsn) -> u32 {
        if let Some(open) = self.open.take() {
            debug_assert!(
                self.frame.version < Version::V2 || self.timed == self.next_lsn,
                "the time of the group is older than its last record"
            );
            let payload_len = self.buffer.len() - open.at - GROUP_HEADER_LEN;
            let header = GroupHeader {
                kind: GroupKind::Records,
                epoch: self.frame.epoch,
                first_lsn: open.first_lsn,
                watermark,
                offset: Offset::new(self.start.get() + open.at as u64),
                payload_len: u32::try_from(payload_len).expect("a payload below 4 GiB"),
                record_count: (self.next_lsn.get() - open.first_lsn.get()) as u32,
                previous: self.previous,
                digest: open.digest.get(),
                version: self.frame.version,
                may_skip: false,
                set_back: open.set_back,
                time: self.time,
            };
            self.seal(open.at, &header);
            self.pad();
        }
        self.previous
    }

    /// Appends a group that takes no LSN.
    fn whole(&mut self, kind: GroupKind, payload: &[u8], watermark: Lsn) {
        self.without_records(kind, 0, payload, watermark);
    }

    /// Appends a group without records that takes `count` LSNs.
    fn without_records(&mut self, kind: GroupKind, count: u32, payload: &[u8], watermark: Lsn) {
        assert!(!self.finished, "nothing follows a footer");
        let at = self.buffer.len();
        let header = GroupHeader {
            kind,
            epoch: self.frame.epoch,
            first_lsn: self.next_lsn,
            watermark,
            offset: self.position(),
            payload_len: u32::try_from(payload.len()).expect("a payload below 4 GiB"),
            record_count: count,
            previous: self.previous,
            digest: crc32(payload),
            version: self.frame.version,
            may_skip: false,
            set_back: false,
            time: self.time,
        };
        self.buffer.extend_from_slice(&[0; GROUP_HEADER_LEN]);
        self.buffer.extend_from_slice(payload);
        self.seal(at, &header);
    }

    /// Fills in the header whose place was kept free at `at`.
    fn seal(&mut self, at: usize, header: &GroupHeader) {
        assert!(
            header.watermark < header.first_lsn,
            "a watermark is about earlier groups"
        );
        assert!(
            header
                .offset
                .get()
                .is_multiple_of(self.frame.alignment.get())
        );
        let (bytes, checksum) = header.encode(self.frame);
        put(&mut self.buffer, at, &bytes);
        self.previous = checksum;
    }

    /// Zeros up to where the next group may start. `start` is such a place.
    fn pad(&mut self) {
        let len = self.frame.alignment.round_up(self.buffer.len() as u64);
        self.buffer.resize(len as usize, 0);
    }

    /// Where the buffer ends in the file.
    #[inline]
    fn position(&self) -> Offset {
        Offset::new(self.start.get() + self.buffer.len() as u64)
    }

    /// Whether nothing was written since [`reset`](Self::reset).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Bytes written so far, the open group's header included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// File offset of the first byte.
    #[must_use]
    pub fn start(&self) -> Offset {
        self.start
    }

    /// File offset at which the next group would start if the open one were closed now; behind a
    /// footer, where the file ends.
    #[must_use]
    pub fn end(&self) -> Offset {
        let end = self.position();
        if self.finished {
            end
        } else {
            Offset::new(self.frame.alignment.round_up(end.get()))
        }
    }

    /// The LSN that the next record gets.
    #[inline]
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// Checksum of the last closed group: what the next one chains to.
    #[must_use]
    pub fn previous(&self) -> u32 {
        self.previous
    }

    /// Records written since [`reset`](Self::reset).
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Whether a group of records is open.
    #[inline]
    #[must_use]
    pub fn is_group_open(&self) -> bool {
        self.open.is_some()
    }

    /// First LSN and file offset of the open group of records.
    #[must_use]
    pub fn open_group_start(&self) -> Option<(Lsn, Offset)> {
        let open = self.open?;
        Some((
            open.first_lsn,
            Offset::new(self.start.get() + open.at as u64),
        ))
    }

    /// What was written. The header of an open group is not filled in: close it first.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        debug_assert!(self.open.is_none(), "the open group has no header yet");
        &self.buffer
    }

    /// Calls `write` with [`bytes`](Self::bytes), and zeros behind them up to the next file offset that is a multiple of `align`.
    pub fn with_zeros_behind<T>(&mut self, align: u64, write: impl FnOnce(&[u8]) -> T) -> T {
        let len = self.buffer.len();
        let end = self.position().get().next_multiple_of(align) - self.start.get();
        self.buffer.resize(end as usize, 0);
        let outcome = write(self.bytes());
        self.buffer.truncate(len);
        outcome
    }

    /// Gives back memory above `capacity` bytes, as far as it is not in use.
    pub fn shrink_to(&mut self, capacity: usize) {
        self.buffer.shrink_to(capacity);
    }

    /// File offset at which the padded group would end if a record (or a batch) of `encoded_len`
    /// bytes were pushed now: what is compared with the segment's end.
    #[inline]
    #[must_use]
    pub fn room_for(&self, encoded_len: usize) -> u64 {
        let header = if self.open.is_some() {
            0
        } else {
            GROUP_HEADER_LEN
        };
        self.frame
            .alignment
            .round_up(self.position().get() + header as u64 + encoded_len as u64)
    }
}
