//! The ordered index: a B-tree over the newest version of each key.
//!
//! Comparisons seldom leave the node: beside each key lie eight of its bytes, those behind the prefix that all keys of the node
//! share. The prefix follows from the bounds of the node, so it needs no check and changes only when nodes are split or joined.
//! Deliberately absent: locks, older versions, and any opinion on which version is shown.

mod build;
mod node;
#[cfg(test)]
mod tests;
mod walk;

use super::version::Version;
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

/// What all keys of a node lie between: `low` belongs to it, `high` does not.
#[derive(Clone, Copy, Debug)]
struct Bounds<'a> {
    low: &'a [u8],
    high: Option<&'a [u8]>,
}

impl Bounds<'_> {
    const ALL: Bounds<'static> = Bounds {
        low: &[],
        high: None,
    };

    /// Bytes that every key between the bounds begins with.
    fn shared(&self) -> usize {
        self.high.map_or(0, |high| common(self.low, high))
    }
}

/// How many first bytes two keys have in common.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The eight bytes behind the first `skip`, as a number that sorts as they do. Equal numbers do not mean equal keys.
#[inline]
fn head(key: &[u8], skip: usize) -> u64 {
    let rest = key.get(skip..).unwrap_or_default();
    if let Some(eight) = rest.first_chunk::<8>() {
        return u64::from_be_bytes(*eight);
    }
    let mut eight = [0; 8];
    eight[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(eight)
}

/// The shortest key above `below` that is not above `at`.
fn separator(below: &[u8], at: &[u8]) -> Box<[u8]> {
    at[..(common(below, at) + 1).min(at.len())].into()
}

/// Where `key` is among `heads`, or where it belongs; `key_at` gives the whole key where heads are equal.
#[inline]
fn find<'a>(
    heads: &[u64],
    skip: usize,
    key: &[u8],
    key_at: impl Fn(usize) -> &'a [u8],
) -> Result<usize, usize> {
    let wanted = head(key, skip);
    let mut low = first_not_below(heads, wanted);
    if heads.get(low).is_none_or(|head| *head != wanted) {
        return Err(low);
    }
    let mut high = low + heads[low..].partition_point(|head| *head == wanted);
    while low < high {
        let middle = low.midpoint(high);
        match key_at(middle).cmp(key) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Equal => return Ok(middle),
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Err(low)
}

/// The first of `heads`, which are in order, that is not below `wanted`.
///
/// Every eighth is looked at, then the eight before the first that is not below: the processor fetches them from memory at the same
/// time, and would wait for each step of a binary search.
#[inline]
fn first_not_below(heads: &[u64], wanted: u64) -> usize {
    const LINE: usize = 8;
    let below = |heads: &[u64]| heads.iter().filter(|head| **head < wanted).count();
    let lines = heads.iter().skip(LINE - 1).step_by(LINE);
    let whole = lines.filter(|last| **last < wanted).count() * LINE;
    let line = &heads[whole..heads.len().min(whole + LINE)];
    whole + below(line)
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
