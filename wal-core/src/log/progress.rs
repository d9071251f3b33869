//! How far the log has come: what is written, what is durable, and which files still need a sync.

use std::collections::VecDeque;
use std::time::Duration;

use wal_format::{Lsn, SegmentId};

use super::buffers::Handover;
use crate::segment::{LiveSegment, Mark};
use crate::sync::Arc;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Progress {
    written: Mark,
    durable: Mark,
    /// The last buffer that is with the operating system.
    written_serial: u64,
    /// The last buffer that a sync has covered.
    synced_serial: u64,
    /// Watermark of the last group written.
    written_watermark: Lsn,
    /// Highest watermark that is itself synced: records up to here are proven for any later reader.
    proven: Lsn,
    /// Files with writes that may need a sync, oldest first; the last one is the active segment's.
    files: VecDeque<Progressed>,
    unsynced: VecDeque<Unsynced>,
    /// The newest segment whose file has its final name, and the newest whose name is durable.
    renamed: SegmentId,
    named: SegmentId,
}

/// How far one file has come.
#[derive(Debug)]
struct Progressed {
    segment: Arc<LiveSegment>,
    written: u64,
    written_lsn: Lsn,
    synced: u64,
    synced_lsn: Lsn,
    /// Where its data ends, once the next segment has taken over.
    end: Option<u64>,
}

/// Something written that no sync has covered.
#[derive(Clone, Copy, Debug)]
struct Unsynced {
    /// The last LSN of the hand-over.
    lsn: Lsn,
    /// The buffer, if it changes the control state: then it has to be synced even if all its records are durable.
    changes: Option<u64>,
    /// When the oldest part of it entered.
    since: Duration,
}

/// Which files a sync covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All that was handed over.
    All,
    /// Only segments that a later one has taken over from.
    Rotated,
}

/// What a write has to do first about the name of its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// Nothing: the file has its name.
    Done,
    /// It is still called a spare.
    Rename,
    /// The same, and the name of the segment that it follows is not durable: without it the chain would have a hole.
    SyncThenRename,
}

/// One file of a sync, and how far it will be synced.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) segment: Arc<LiveSegment>,
    written: u64,
    written_lsn: Lsn,
}

/// What a sync covers: the writes that returned before it began.
#[derive(Debug)]
pub(super) struct Syncing {
    pub(super) targets: Vec<Target>,
    scope: Scope,
    /// The name of this segment, and all before it.
    renamed: SegmentId,
    serial: u64,
    watermark: Lsn,
    /// Whether the directory has to be synced.
    pub(super) directory: bool,
}

impl Progress {
    /// Of a log that was just opened. With `active`, the log goes on in that segment.
    pub(super) fn new(mark: Mark, active: Option<Arc<LiveSegment>>) -> Self {
        let mut progress = Self {
            written: mark,
            durable: mark,
            written_serial: 0,
            synced_serial: 0,
            written_watermark: mark.lsn,
            proven: mark.lsn,
            files: VecDeque::new(),
            unsynced: VecDeque::new(),
            renamed: mark.segment,
            named: mark.segment,
        };
        progress
            .files
            .extend(active.map(|segment| Progressed::whole(segment, mark)));
        progress
    }

    /// The log goes on in `segment`, which is durable up to `mark`; nothing else of it counts any more.
    pub(super) fn restart(&mut self, mark: Mark, segment: Arc<LiveSegment>) {
        *self = Self {
            written_serial: self.written_serial,
            synced_serial: self.synced_serial,
            ..Self::new(mark, Some(segment))
        };
    }

    pub(super) fn written(&self) -> Mark {
        self.written
    }

    pub(super) fn durable(&self) -> Mark {
        self.durable
    }

    pub(super) fn written_serial(&self) -> u64 {
        self.written_serial
    }

    pub(super) fn synced_serial(&self) -> u64 {
        self.synced_serial
    }

    pub(super) fn proven(&self) -> Lsn {
        self.proven
    }

    /// The newest segment whose name is durable.
    pub(super) fn named(&self) -> SegmentId {
        self.named
    }

    /// When the oldest part of what is written and not synced has entered the log.
    pub(super) fn unsynced_since(&self) -> Option<Duration> {
        self.unsynced.front().map(|unsynced| unsynced.since)
    }

    /// Whether a rotated segment waits for its sync.
    pub(super) fn has_rotated(&self) -> bool {
        self.files.len() > 1
    }

    /// Whether all of the oldest rotated segment is written, and waits for its sync.
    pub(super) fn waits_for_sync(&self) -> bool {
        let oldest = self.files.front();
        self.has_rotated() && oldest.is_some_and(|oldest| oldest.end == Some(oldest.written))
    }

    /// Whether all of the rotated segment `id` is durable.
    pub(super) fn is_behind(&self, id: SegmentId) -> bool {
        let oldest = self.files.front();
        oldest.is_none_or(|oldest| oldest.segment.id() > id)
    }

    /// Whether syncs have covered the segment's link and its name.
    pub(super) fn is_durable(&self, id: SegmentId) -> bool {
        let unsynced = |file: &Progressed| file.segment.id() == id && file.synced == 0;
        self.named >= id && !self.files.iter().any(unsynced)
    }

    /// `segment` takes over from one whose data ends at `end`, and whose last LSN is `end_lsn`.
    pub(super) fn rotate(&mut self, end: Option<u64>, segment: Arc<LiveSegment>, end_lsn: Lsn) {
        if let (Some(file), Some(end)) = (self.files.back_mut(), end) {
            file.end = Some(end);
        }
        self.files.push_back(Progressed {
            segment,
            written: 0,
            written_lsn: end_lsn,
            synced: 0,
            synced_lsn: end_lsn,
            end: None,
        });
    }

    pub(super) fn naming(&self, id: SegmentId) -> Naming {
        if self.renamed >= id {
            Naming::Done
        } else if self.renamed > self.named {
            Naming::SyncThenRename
        } else {
            Naming::Rename
        }
    }

    /// The buffer is with the operating system.
    pub(super) fn note_written(&mut self, handover: &Handover) {
        let id = handover.segment.id();
        let end = handover.groups.end().get();
        self.renamed = self.renamed.max(id);
        if let Some(file) = self.file(id) {
            file.written = end;
            file.written_lsn = handover.end_lsn;
        }
        self.written = Mark {
            lsn: handover.end_lsn,
            segment: id,
            offset: end,
        };
        self.written_serial = handover.serial;
        self.written_watermark = handover.watermark;
        if let Some(since) = handover.since {
            self.unsynced.push_back(Unsynced {
                lsn: handover.end_lsn,
                changes: handover.changes.then_some(handover.serial),
                since,
            });
        }
    }

    fn file(&mut self, id: SegmentId) -> Option<&mut Progressed> {
        self.files.iter_mut().find(|file| file.segment.id() == id)
    }

    /// What a sync that begins now covers.
    pub(super) fn begin_sync(&self, scope: Scope) -> Syncing {
        let newest = self.files.back().map(|file| file.segment.id());
        let unsynced = self.files.iter().filter(|file| file.written > file.synced);
        let covered =
            unsynced.filter(|file| scope == Scope::All || Some(file.segment.id()) != newest);
        let target = |file: &Progressed| Target {
            segment: Arc::clone(&file.segment),
            written: file.written,
            written_lsn: file.written_lsn,
        };
        Syncing {
            targets: covered.map(target).collect(),
            scope,
            renamed: self.renamed,
            serial: self.written_serial,
            watermark: self.written_watermark,
            directory: self.renamed > self.named,
        }
    }

    /// That sync has succeeded.
    pub(super) fn end_sync(&mut self, syncing: &Syncing) {
        self.named = self.named.max(syncing.renamed);
        for target in &syncing.targets {
            if let Some(file) = self.file(target.segment.id()) {
                file.synced = target.written;
                file.synced_lsn = target.written_lsn;
                // Invariant 4: a sync covers only what was written before it began.
            }
        }
        if syncing.scope == Scope::All {
            self.synced_serial = self.synced_serial.max(syncing.serial);
            self.proven = self.proven.max(syncing.watermark);
        }
        self.settle();
    }

    /// Moves the durable mark over all that the files' syncs have covered.
    fn settle(&mut self) {
        while let Some(first) = self.files.front() {
            if first.segment.id() > self.named {
                break;
            }
            if first.synced > 0 {
                self.durable = Mark {
                    lsn: first.synced_lsn,
                    segment: first.segment.id(),
                    offset: first.synced,
                };
            }
            if first.end.is_some_and(|end| first.synced >= end) {
                self.files.pop_front();
            } else {
                break;
            }
        }
        while self.unsynced.front().is_some_and(|unsynced| {
            let changes = unsynced.changes.unwrap_or(0);
            unsynced.lsn <= self.durable.lsn && changes <= self.synced_serial
        }) {
            self.unsynced.pop_front();
        }
    }

    /// The log is closed: no file is needed any more.
    pub(super) fn close_files(&mut self) {
        self.files.clear();
    }
}

impl Progressed {
    fn whole(segment: Arc<LiveSegment>, mark: Mark) -> Self {
        Self {
            segment,
            written: mark.offset,
            written_lsn: mark.lsn,
            synced: mark.offset,
            synced_lsn: mark.lsn,
            end: None,
        }
    }
}
