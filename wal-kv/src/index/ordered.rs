//! The ordered index: a B-tree over the newest version of each key.
//!
//! Comparisons seldom leave the node: beside each key lie eight of its bytes, those behind the prefix that all keys of the node
//! share. The prefix follows from the bounds of the node, so it needs no check and changes only when nodes are split or joined.
//! Deliberately absent: locks, older versions, and any opinion on which version is shown.

mod bounds;
mod build;
mod node;
#[cfg(test)]
mod tests;
mod walk;

use super::version::Version;
use bounds::Bounds;
use node::Node;

/// Keys in order, each with its newest version.
#[derive(Debug)]
pub(crate) struct Ordered {
    root: Node,
    /// Bytes of the nodes, which are counted as they grow, are split and joined.
    bytes: u64,
}

impl Default for Ordered {
    fn default() -> Self {
        Self {
            root: Node::empty(),
            bytes: 0,
        }
    }
}

impl Ordered {
    /// Makes `version` the newest of its key; returns the one that it replaced.
    pub(crate) fn put(&mut self, version: Version) -> Option<Version> {
        let mut growth = 0;
        let (replaced, split) = self.root.put(Bounds::ALL, version, &mut growth);
        if let Some(split) = split {
            let left = std::mem::replace(&mut self.root, Node::empty());
            self.root = Node::above(left, split);
            growth += self.root.own_bytes().cast_signed();
        }
        self.bytes = self.bytes.saturating_add_signed(growth);
        replaced
    }

    /// Removes the key if its version has this LSN.
    pub(crate) fn remove(&mut self, key: &[u8], lsn: u64) -> Option<Version> {
        let mut growth = 0;
        let removed = self.root.remove(Bounds::ALL, key, lsn, &mut growth);
        self.root.collapse(&mut growth);
        self.bytes = self.bytes.saturating_add_signed(growth);
        removed
    }

    /// Bytes of the nodes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The same, counted anew.
    #[cfg(test)]
    pub(crate) fn recount(&self) -> u64 {
        self.root.bytes()
    }
}
