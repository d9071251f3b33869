//! Questions to the record of operations: what was done to which file before what.

use wal_core::SegmentId;
use wal_io::FaultStorage;
use wal_io::fault::{Operation, OperationKind};

/// What was done since [`FaultStorage::record_operations`], in order.
pub(crate) struct Trace(pub(crate) Vec<Operation>);

pub(crate) fn segment(id: u64) -> String {
    wal_format::segment_name(SegmentId::new(id))
}

pub(crate) fn spare(id: u64) -> String {
    wal_format::spare_name(SegmentId::new(id))
}

pub(crate) fn temporary(id: u64) -> String {
    wal_format::temporary_name(SegmentId::new(id))
}

impl Trace {
    pub(crate) fn of(storage: &FaultStorage) -> Self {
        Self(storage.operations())
    }

    pub(crate) fn count(&self, kind: OperationKind) -> usize {
        self.0.iter().filter(|done| done.kind == kind).count()
    }

    /// Operations of one kind on one file.
    pub(crate) fn count_in(&self, kind: OperationKind, name: &str) -> usize {
        self.all(kind, name).len()
    }

    /// Where they are.
    pub(crate) fn all(&self, kind: OperationKind, name: &str) -> Vec<usize> {
        let found = self.0.iter().enumerate();
        found
            .filter(|(_, done)| done.kind == kind && &*done.name == name)
            .map(|(at, _)| at)
            .collect()
    }

    /// The first of one kind on one file at or behind `from`.
    pub(crate) fn first(&self, kind: OperationKind, name: &str, from: usize) -> Option<usize> {
        self.all(kind, name).into_iter().find(|at| *at >= from)
    }

    /// The last of one kind on one file before `to`.
    pub(crate) fn last(&self, kind: OperationKind, name: &str, to: usize) -> Option<usize> {
        self.all(kind, name).into_iter().rfind(|at| *at < to)
    }

    /// Where a file was given the name `to`.
    pub(crate) fn renamed_to(&self, to: &str) -> Option<usize> {
        self.0
            .iter()
            .position(|done| done.kind == OperationKind::Rename && done.to.as_deref() == Some(to))
    }

    /// What changed anything, but for the process id of the lock's holder.
    pub(crate) fn changes(&self) -> Vec<&Operation> {
        let changes = self.0.iter().filter(|done| done.kind.is_change());
        changes.filter(|done| &*done.name != "lock.pid").collect()
    }
}
