//! Building the ordered index from versions that are in order already: when a store is opened.

use super::node::{INNER, Inner, LEAF, Leaf, Node};
use super::{Bounds, Ordered, separator};
use crate::index::version::Version;

/// Nodes are filled so far, so that the first keys to come do not split every one.
const FILLED: usize = LEAF * 3 / 4;
const CHILDREN: usize = INNER * 3 / 4;

impl Ordered {
    /// Of versions of different keys, in order.
    pub(crate) fn build(versions: Vec<Version>) -> Self {
        let mut fences: Vec<Box<[u8]>> = Vec::with_capacity(versions.len() / FILLED + 1);
        let mut parts: Vec<Vec<Version>> = Vec::with_capacity(versions.len() / FILLED + 1);
        for version in versions {
            match parts.last_mut() {
                Some(part) if part.len() < FILLED => part.push(version),
                last => {
                    if let Some(before) = last.and_then(|part| part.last()) {
                        fences.push(separator(before.key(), version.key()));
                    }
                    let mut part = Vec::with_capacity(FILLED);
                    part.push(version);
                    parts.push(part);
                }
            }
        }
        let mut nodes = Vec::with_capacity(parts.len());
        for (at, part) in parts.into_iter().enumerate() {
            let bounds = between(&fences, at, at);
            nodes.push(Node::Leaf(Leaf::of(bounds, part)));
        }
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
