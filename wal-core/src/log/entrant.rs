//! What enters the log with an append, and how much of a segment it may use.

use wal_format::{EncodedRecord, Lsn};

use super::state::State;
use crate::control::Requested;
use crate::segment::LiveSegment;

/// What enters the log.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entrant<'a, 'r> {
    /// One batch, and its encoded length.
    Records(&'a [EncodedRecord<'r>], usize),
    /// The same, also where the log lives in its reserve.
    Reserved(&'a [EncodedRecord<'r>], usize),
    /// The same, and then the log's new first LSN.
    Dropping(&'a [EncodedRecord<'r>], usize, Lsn),
    /// The log's new first LSN. It may use the space that every segment keeps for it.
    Cut(Lsn),
    /// Changes of the control state.
    Control(&'a Requested),
    /// Nothing: only room is made for a batch of this many bytes.
    Room(usize),
}

impl<'a, 'r> Entrant<'a, 'r> {
    pub(super) fn records(records: &'a [EncodedRecord<'r>]) -> Self {
        Self::Records(records, records.iter().map(EncodedRecord::len).sum())
    }

    /// A small record.
    pub(super) fn reserved(record: &'a [EncodedRecord<'r>; 1]) -> Self {
        Self::Reserved(record, record[0].len())
    }

    /// A truncation of the oldest records, with a record.
    pub(super) fn dropping(record: &'a [EncodedRecord<'r>; 1], lsn: Lsn) -> Self {
        Self::Dropping(record, record[0].len(), lsn)
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Records(_, bytes) | Self::Reserved(_, bytes) | Self::Room(bytes) => *bytes,
            Self::Dropping(_, bytes, _) => bytes + CUT_LEN,
            Self::Cut(_) => CUT_LEN,
            Self::Control(requested) => requested.bytes(),
        }
    }

    /// The records that enter.
    pub(super) fn batch(&self) -> Option<(&'a [EncodedRecord<'r>], usize)> {
        match self {
            Self::Records(records, bytes)
            | Self::Reserved(records, bytes)
            | Self::Dropping(records, bytes, _) => Some((records, *bytes)),
            Self::Cut(_) | Self::Control(_) | Self::Room(_) => None,
        }
    }

    /// The log's new first LSN.
    pub(super) fn first(&self) -> Option<Lsn> {
        match self {
            Self::Dropping(_, _, first) | Self::Cut(first) => Some(*first),
            Self::Records(..) | Self::Reserved(..) | Self::Control(_) | Self::Room(_) => None,
        }
    }

    /// Whether the log may go on in its reserve for it.
    pub(super) fn is_reserved(&self) -> bool {
        matches!(
            self,
            Self::Reserved(..) | Self::Dropping(..) | Self::Control(_)
        )
    }

    /// Where the buffer would end in the file with it, and where it must end at the latest.
    pub(super) fn end_and_limit(&self, state: &State, segment: &LiveSegment) -> (u64, u64) {
        let alignment = segment.header.alignment;
        // What waits beside the buffer comes after it.
        let changes = state.changes.room(alignment);
        let filling = state.buffers.filling();
        let cut = alignment.round_up(CUT_LEN as u64);
        let end = match self {
            Self::Records(_, bytes) | Self::Reserved(_, bytes) | Self::Room(bytes) => {
                filling.room_for(*bytes) + changes
            }
            Self::Dropping(_, bytes, _) => filling.room_for(*bytes) + cut + changes,
            Self::Cut(_) => filling.end().get() + cut + changes,
            Self::Control(requested) => {
                filling.end().get() + state.changes.room_for(requested, alignment)
            }
        };
        let limit = match (self, state.segments.in_reserve()) {
            (Self::Cut(_) | Self::Dropping(..), Some(reserve)) => reserve.truncation_limit(),
            (Self::Reserved(..) | Self::Control(_), Some(reserve)) => reserve.record_limit(),
            // What must be written on a full disk has its room.
            (Self::Records(..) | Self::Room(_), Some(_)) => 0,
            (Self::Cut(_), None) => {
                segment.data_limit + alignment.round_up(wal_format::CONTROL_RESERVE)
            }
            (_, None) => segment.data_limit,
        };
        (end, limit)
    }
}

/// Bytes of a group that sets the log's first LSN, in any version.
const CUT_LEN: usize = wal_format::GROUP_HEADER_LEN + wal_format::FIRST_CHANGE_LEN;
