//! The records that can be read of the parts of a log, in the order of their LSNs.
//!
//! Deliberately absent: what is missing between them; whoever walks sees it.

use std::io;

use bytes::Bytes;
use wal_format::{Lsn, Offset, Record, RecordHead, SegmentId, UnixMillis};

use super::Part;
use crate::segment::{Files, Salvage, Salvaged};
use crate::sync::Arc;

/// A record as it is stored.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) lsn: Lsn,
    /// The id in the name of its file.
    pub(crate) segment: SegmentId,
    pub(crate) offset: Offset,
    pub(crate) bytes: Bytes,
    pub(crate) head: RecordHead,
    /// The mask of its checksum.
    pub(crate) mask: u32,
    /// The time of its group.
    pub(crate) time: UnixMillis,
    /// It is the first record of a group before which the clock was set back.
    pub(crate) set_back: bool,
    pub(crate) record: Record,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Walked {
    Record(Box<Taken>),
    /// LSNs up to this one are recorded as lost.
    Gap {
        to: Lsn,
    },
}

/// A walk through parts, oldest first.
#[derive(Debug)]
pub(crate) struct Walk {
    files: Arc<Files>,
    parts: Vec<Part>,
    at: usize,
    open: Option<Salvage>,
    next: Lsn,
    trouble: Option<(SegmentId, u64, String)>,
}

impl Walk {
    /// From the LSN `next` on.
    pub(crate) fn new(files: Arc<Files>, parts: Vec<Part>, next: Lsn) -> Self {
        Self {
            files,
            parts,
            at: 0,
            open: None,
            next,
            trouble: None,
        }
    }

    /// Where it is.
    pub(crate) fn segment(&self) -> SegmentId {
        let part = self.parts.get(self.at);
        part.map_or(SegmentId::NONE, |part| part.file)
    }

    /// The first thing that did not verify since this was asked: segment, offset, what.
    pub(crate) fn take_trouble(&mut self) -> Option<(SegmentId, u64, String)> {
        self.trouble.take()
    }

    /// The next record, or recorded loss; `None` at the end.
    pub(crate) fn step(&mut self) -> io::Result<Option<Walked>> {
        while let Some(part) = self.parts.get(self.at) {
            let segment = part.file;
            let last = part.last;
            if last.is_some_and(|last| last < self.next) {
                self.at += 1;
                self.open = None;
                continue;
            }
            let open = match &mut self.open {
                Some(open) => open,
                closed => closed.insert(Self::open(&self.files, part)?),
            };
            let found = open.step()?;
            let step = match found {
                Some(Salvaged::Gap { to }) => Some(Walked::Gap {
                    to: last.map_or(to, |last| to.min(last)),
                }),
                Some(Salvaged::Record { lsn, .. }) if lsn < self.next => None,
                Some(Salvaged::Record { lsn, offset, head }) => {
                    let bytes = open.record_bytes(offset, &head);
                    match wal_format::read_record(&bytes, &head) {
                        Ok(record) => Some(Walked::Record(Box::new(Taken {
                            lsn,
                            segment,
                            offset: Offset::new(offset),
                            bytes,
                            head,
                            time: open.time(),
                            set_back: open.take_set_back(),
                            mask: part.header.salt().record_mask(lsn, Offset::new(offset)),
                            record,
                        }))),
                        Err(error) => {
                            let what = format!("the value of LSN {lsn}: {error}");
                            self.trouble.get_or_insert((segment, offset, what));
                            None
                        }
                    }
                }
                None => {
                    self.at += 1;
                    if let Some((offset, what)) = open.take_trouble() {
                        self.trouble.get_or_insert((segment, offset, what));
                    }
                    self.open = None;
                    continue;
                }
            };
            if let Some((offset, what)) = open.take_trouble() {
                self.trouble.get_or_insert((segment, offset, what));
            }
            let Some(step) = step else { continue };
            let to = match &step {
                Walked::Record(taken) => taken.lsn,
                Walked::Gap { to } => *to,
            };
            if to >= self.next {
                self.next = to.next();
                return Ok(Some(step));
            }
        }
        Ok(None)
    }

    fn open(files: &Arc<Files>, part: &Part) -> io::Result<Salvage> {
        let file = files.open(part.file)?;
        let from = (part.start, part.first);
        let to = (part.limit.min(file.len()?), part.last);
        Ok(Salvage::new(file, part.header, from, to))
    }
}
