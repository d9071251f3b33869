//! Walking the ordered index in short stretches: each finds its place anew, so that nothing is held in between.

use std::ops::Bound;

use super::Ordered;
use super::node::Node;
use crate::index::version::Version;

/// A stretch of a walk: neighbouring versions of one leaf, and where to go on.
#[derive(Debug)]
pub(crate) struct Stretch<'a> {
    /// In the order of their keys.
    pub(crate) versions: &'a [Version],
    /// The next stretch lies behind (or before) this; `None` at the end of the index.
    pub(crate) next: Option<Bound<Vec<u8>>>,
}

impl Ordered {
    /// At most `most` versions from `from` on.
    pub(crate) fn forward(&self, from: Bound<&[u8]>, most: usize) -> Stretch<'_> {
        let key = match from {
            Bound::Included(key) | Bound::Excluded(key) => key,
            Bound::Unbounded => &[],
        };
        let (mut node, mut high) = (&self.root, None);
        while let Node::Inner(inner) = node {
            let child = inner.child_of(key);
            if let Some(fence) = inner.fences.get(child) {
                high = Some(fence);
            }
            node = &inner.children[child];
        }
        let Node::Leaf(leaf) = node else {
            return Stretch {
                versions: &[],
                next: None,
            };
        };
        let start = match (leaf.find(key), from) {
            (Ok(at), Bound::Excluded(_)) => at + 1,
            (Ok(at) | Err(at), _) => at,
        };
        let end = leaf.versions.len().min(start.saturating_add(most));
        let versions = &leaf.versions[start..end];
        let next = match versions.last() {
            Some(last) if end < leaf.versions.len() => Some(Bound::Excluded(last.key().to_vec())),
            _ => high.map(|high| Bound::Included(high.to_vec())),
        };
        Stretch { versions, next }
    }

    /// At most `most` versions before `to`.
    pub(crate) fn backward(&self, to: Bound<&[u8]>, most: usize) -> Stretch<'_> {
        let (mut node, mut low): (_, Option<&[u8]>) = (&self.root, None);
        while let Node::Inner(inner) = node {
            let child = match to {
                Bound::Unbounded => inner.children.len() - 1,
                Bound::Included(key) => inner.child_of(key),
                // The key that a child begins with lies in it, what is before lies in the one before.
                Bound::Excluded(key) => match inner.child_of(key) {
                    0 => 0,
                    child if *inner.fences[child - 1] == *key => child - 1,
                    child => child,
                },
            };
            if let Some(before) = child.checked_sub(1) {
                low = Some(&inner.fences[before]);
            }
            node = &inner.children[child];
        }
        let Node::Leaf(leaf) = node else {
            return Stretch {
                versions: &[],
                next: None,
            };
        };
        let end = match to {
            Bound::Unbounded => leaf.versions.len(),
            Bound::Included(key) => leaf.find(key).map_or_else(|at| at, |at| at + 1),
            Bound::Excluded(key) => leaf.find(key).unwrap_or_else(|at| at),
        };
        let start = end.saturating_sub(most);
        let versions = &leaf.versions[start..end];
        let next = match versions.first() {
            Some(first) if start > 0 => Some(Bound::Excluded(first.key().to_vec())),
            _ => low.map(|low| Bound::Excluded(low.to_vec())),
        };
        Stretch { versions, next }
    }
}
