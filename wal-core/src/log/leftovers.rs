//! Files that the log no longer needs, and when they may go.

use std::collections::VecDeque;

use wal_format::{SegmentHeader, SegmentId};

/// To be cleaned up once `successor` is durable: until then, a crash may make the old files the newest again.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) successor: SegmentId,
    /// The previous segment, and where its data ends.
    pub(super) before: Option<(SegmentHeader, u64)>,
    /// Segments that no longer belong to the log, in the order in which they may be removed.
    pub(super) superseded: Vec<String>,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Leftovers {
    /// Segments of an earlier session that are not part of the log. They are removed when the first one of this session is
    /// durable.
    superseded: Vec<String>,
    /// What segments of this session replace.
    replaced: VecDeque<Replaced>,
    /// Files to unlink, oldest first.
    retiring: VecDeque<String>,
}

impl Leftovers {
    pub(super) fn new(superseded: Vec<String>) -> Self {
        Self {
            superseded,
            replaced: VecDeque::new(),
            retiring: VecDeque::new(),
        }
    }

    /// The segment `successor` says where the one before it ends.
    pub(super) fn replace(&mut self, successor: SegmentId, before: Option<(SegmentHeader, u64)>) {
        let superseded = std::mem::take(&mut self.superseded);
        if before.is_some() || !superseded.is_empty() {
            self.replaced.push_back(Replaced {
                successor,
                before,
                superseded,
            });
        }
    }

    /// The segment that has to be durable before anything is given back.
    pub(super) fn successor(&self) -> Option<SegmentId> {
        self.replaced.front().map(|replaced| replaced.successor)
    }

    pub(super) fn take_replaced(&mut self) -> Option<Replaced> {
        self.replaced.pop_front()
    }

    /// These files may be removed.
    pub(super) fn retire(&mut self, names: impl IntoIterator<Item = String>) {
        self.retiring.extend(names);
    }

    /// The file that is removed next.
    pub(super) fn retiring(&self) -> Option<&String> {
        self.retiring.front()
    }

    /// It is gone.
    pub(super) fn retired(&mut self) {
        self.retiring.pop_front();
    }

    /// What stays is a leftover that the next open removes.
    pub(super) fn give_up(&mut self) {
        self.retiring.clear();
    }
}
