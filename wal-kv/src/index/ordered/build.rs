//! Building the ordered index from versions that are in order already: when a store is opened.

use super::Ordered;
use super::bounds::{Bounds, separator};
use super::node::{INNER, Inner, LEAF, Leaf, Node};
use crate::index::version::Version;
use crate::sync::{Mutex, in_parallel};

/// Nodes are filled so far, so that the first keys to come do not split every one.
const FILLED: usize = LEAF * 3 / 4;
const CHILDREN: usize = INNER * 3 / 4;

impl Ordered {
    /// Of versions of different keys, in order. The threads that make the leaves make them in the memory that reading has freed: an
    /// allocator keeps that by thread.
    pub(crate) fn build(versions: Vec<Version>, threads: usize) -> Self {
        let begins = (FILLED..versions.len()).step_by(FILLED);
        let fences = begins.map(|at| separator(versions[at - 1].key(), versions[at].key()));
        let mut fences: Vec<Box<[u8]>> = fences.collect();
        // Each thread gets some of them, in several turns.
        let leaves = versions.len().div_ceil(FILLED).div_ceil(4 * threads.max(1));
        let mut parts: Vec<Mutex<Vec<Version>>> = Vec::new();
        let mut versions = versions.into_iter();
        while versions.len() > 0 {
            let part = versions.by_ref().take(leaves * FILLED).collect();
            parts.push(Mutex::new(part));
        }
        let parts = in_parallel(threads, parts.len(), |at| {
            let part = std::mem::take(&mut *parts[at].lock());
            let mut nodes = Vec::with_capacity(leaves);
            let mut versions = part.into_iter();
            while versions.len() > 0 {
                let leaf = at * leaves + nodes.len();
                let mut filled = Vec::with_capacity(FILLED);
                filled.extend(versions.by_ref().take(FILLED));
                nodes.push(Node::Leaf(Leaf::of(between(&fences, leaf, leaf), filled)));
            }
            nodes
        });
        let mut nodes: Vec<Node> = parts.into_iter().flatten().collect();
        while nodes.len() > 1 {
            (nodes, fences) = level(nodes, &fences);
        }
        let root = nodes.pop().unwrap_or_else(Node::empty);
        Self {
            bytes: root.bytes(),
            root,
        }
    }
}

/// The bounds of the nodes `first` to `last`.
fn between(fences: &[Box<[u8]>], first: usize, last: usize) -> Bounds<'_> {
    Bounds {
        low: first
            .checked_sub(1)
            .map_or(&[], |before| fences[before].as_ref()),
        high: fences.get(last).map(AsRef::as_ref),
    }
}

/// One level of inner nodes above `nodes`.
fn level(nodes: Vec<Node>, fences: &[Box<[u8]>]) -> (Vec<Node>, Vec<Box<[u8]>>) {
    let count = nodes.len();
    let (mut above, mut above_fences) = (Vec::new(), Vec::new());
    let mut nodes = nodes.into_iter();
    let mut first = 0;
    while first < count {
        let children: Vec<Node> = nodes.by_ref().take(CHILDREN).collect();
        let last = first + children.len() - 1;
        let own = fences[first..last].to_vec();
        above.push(Node::Inner(Inner::of(
            between(fences, first, last),
            own,
            children,
        )));
        if let Some(fence) = fences.get(last) {
            above_fences.push(fence.clone());
        }
        first = last + 1;
    }
    (above, above_fences)
}
