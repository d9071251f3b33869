//! Nodes of the ordered index: how keys enter and leave, and what the nodes take.

#[cfg(test)]
use super::bounds::common;
use super::bounds::{Bounds, find, head, separator};
use crate::index::heap::{allocated, vec_bytes};
use crate::index::version::Version;

/// Most keys of a leaf, and most children of an inner node. Few in tests, so that a few thousand keys make a tree of some height.
pub(super) const LEAF: usize = if cfg!(test) { 12 } else { 128 };
pub(super) const INNER: usize = if cfg!(test) { 8 } else { 128 };
/// Nodes grow by this many places at a time.
const STEP: usize = LEAF / 8;
/// Vacant places of a node that are given back.
const VACANT: usize = 3 * STEP;

#[derive(Debug)]
pub(super) enum Node {
    Leaf(Leaf),
    Inner(Inner),
}

#[derive(Debug, Default)]
pub(super) struct Leaf {
    pub(super) skip: usize,
    pub(super) heads: Vec<u64>,
    pub(super) versions: Vec<Version>,
}

/// `fences[i]` is the low bound of `children[i + 1]`.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) skip: usize,
    pub(super) heads: Vec<u64>,
    pub(super) fences: Vec<Box<[u8]>>,
    pub(super) children: Vec<Node>,
}

/// What a split left behind: the new right part, and where it begins.
pub(super) type Split = (Box<[u8]>, Node);

/// What a change makes the nodes take in addition, in bytes; below zero if they take less.
pub(super) type Growth = i64;

fn insert_at<T>(items: &mut Vec<T>, at: usize, item: T) {
    if items.len() == items.capacity() {
        items.reserve_exact(STEP);
    }
    items.insert(at, item);
}

fn remove_at<T>(items: &mut Vec<T>, at: usize) -> T {
    let item = items.remove(at);
    if items.is_empty() {
        *items = Vec::new();
    } else if items.capacity() - items.len() >= VACANT {
        items.shrink_to(items.len() + STEP);
    }
    item
}

fn split_off<T>(items: &mut Vec<T>, at: usize) -> Vec<T> {
    let right = items.split_off(at);
    items.shrink_to(at + STEP);
    right
}

/// Moves all of `more` to the end, into as few places as that takes.
fn append<T>(items: &mut Vec<T>, more: &mut Vec<T>) {
    items.reserve_exact(more.len());
    items.append(more);
}

impl Leaf {
    pub(super) fn of(bounds: Bounds<'_>, versions: Vec<Version>) -> Self {
        let mut leaf = Self {
            skip: bounds.shared(),
            heads: Vec::new(),
            versions,
        };
        leaf.take_heads();
        leaf
    }

    fn take_heads(&mut self) {
        let skip = self.skip;
        self.heads.clear();
        self.heads.shrink_to(self.versions.len() + STEP);
        self.heads.reserve_exact(self.versions.len());
        let heads = self
            .versions
            .iter()
            .map(|version| head(version.key(), skip));
        self.heads.extend(heads);
    }

    fn bytes(&self) -> u64 {
        vec_bytes(&self.heads) + vec_bytes(&self.versions)
    }

    /// New bounds: the shared prefix may be another one.
    fn rebound(&mut self, bounds: Bounds<'_>) {
        if self.skip != bounds.shared() {
            self.skip = bounds.shared();
            self.take_heads();
        }
    }

    pub(super) fn find(&self, key: &[u8]) -> Result<usize, usize> {
        find(&self.heads, self.skip, key, |at| self.versions[at].key())
    }

    fn put(
        &mut self,
        bounds: Bounds<'_>,
        version: Version,
        growth: &mut Growth,
    ) -> (Option<Version>, Option<Split>) {
        let at = match self.find(version.key()) {
            Ok(at) => {
                return (
                    Some(std::mem::replace(&mut self.versions[at], version)),
                    None,
                );
            }
            Err(at) => at,
        };
        let before = self.bytes();
        let split = self.insert(bounds, at, version);
        let right = match &split {
            Some((_, Node::Leaf(right))) => right.bytes(),
            Some((_, Node::Inner(_))) | None => 0,
        };
        *growth += (self.bytes() + right).cast_signed() - before.cast_signed();
        (None, split)
    }

    fn insert(&mut self, bounds: Bounds<'_>, at: usize, version: Version) -> Option<Split> {
        insert_at(&mut self.heads, at, head(version.key(), self.skip));
        insert_at(&mut self.versions, at, version);
        if self.versions.len() <= LEAF {
            return None;
        }
        // Keys that arrive in order leave full leaves behind.
        let last = bounds.high.is_none() && at + 1 == self.versions.len();
        let middle = if last { at } else { self.versions.len() / 2 };
        let fence = separator(self.versions[middle - 1].key(), self.versions[middle].key());
        let heads = split_off(&mut self.heads, middle);
        let mut right = Self {
            skip: self.skip,
            heads,
            versions: split_off(&mut self.versions, middle),
        };
        self.rebound(Bounds {
            low: bounds.low,
            high: Some(&fence),
        });
        right.rebound(Bounds {
            low: &fence,
            high: bounds.high,
        });
        Some((fence, Node::Leaf(right)))
    }
}

impl Inner {
    pub(super) fn of(bounds: Bounds<'_>, fences: Vec<Box<[u8]>>, children: Vec<Node>) -> Self {
        let mut inner = Self {
            skip: bounds.shared(),
            heads: Vec::new(),
            fences,
            children,
        };
        inner.take_heads();
        inner
    }

    fn take_heads(&mut self) {
        let skip = self.skip;
        self.heads = self.fences.iter().map(|fence| head(fence, skip)).collect();
    }

    fn rebound(&mut self, bounds: Bounds<'_>) {
        if self.skip != bounds.shared() {
            self.skip = bounds.shared();
            self.take_heads();
        }
    }

    /// The child in which `key` belongs.
    pub(super) fn child_of(&self, key: &[u8]) -> usize {
        match find(&self.heads, self.skip, key, |at| &self.fences[at]) {
            Ok(at) => at + 1,
            Err(at) => at,
        }
    }

    /// The bounds of a child.
    fn bounds_of<'a>(fences: &'a [Box<[u8]>], bounds: Bounds<'a>, child: usize) -> Bounds<'a> {
        Bounds {
            low: child
                .checked_sub(1)
                .map_or(bounds.low, |before| &fences[before]),
            high: fences.get(child).map(AsRef::as_ref).or(bounds.high),
        }
    }

    /// Bytes of its own, without those of its children.
    fn bytes(&self) -> u64 {
        let fences = self.fences.iter().map(|fence| allocated(fence.len()));
        fences.sum::<u64>()
            + vec_bytes(&self.heads)
            + vec_bytes(&self.fences)
            + vec_bytes(&self.children)
    }

    fn put(
        &mut self,
        bounds: Bounds<'_>,
        version: Version,
        growth: &mut Growth,
    ) -> (Option<Version>, Option<Split>) {
        let child = self.child_of(version.key());
        let within = Self::bounds_of(&self.fences, bounds, child);
        let (replaced, split) = self.children[child].put(within, version, growth);
        let Some((fence, right)) = split else {
            return (replaced, None);
        };
        let before = self.bytes();
        let split = self.insert(bounds, child, fence, right);
        let right = match &split {
            Some((_, Node::Inner(right))) => right.bytes(),
            Some((_, Node::Leaf(_))) | None => 0,
        };
        *growth += (self.bytes() + right).cast_signed() - before.cast_signed();
        (replaced, split)
    }

    /// Takes in the right part of a child that has been split.
    fn insert(
        &mut self,
        bounds: Bounds<'_>,
        child: usize,
        fence: Box<[u8]>,
        right: Node,
    ) -> Option<Split> {
        insert_at(&mut self.heads, child, head(&fence, self.skip));
        insert_at(&mut self.fences, child, fence);
        insert_at(&mut self.children, child + 1, right);
        if self.children.len() <= INNER {
            return None;
        }
        let last = bounds.high.is_none() && child + 2 == self.children.len();
        let middle = if last {
            self.children.len() - 2
        } else {
            self.children.len() / 2
        };
        // The fence between the halves goes up.
        let fences = split_off(&mut self.fences, middle);
        let fence = self.fences.pop().expect("a full node has two halves");
        let mut right = Self {
            skip: usize::MAX,
            heads: Vec::new(),
            fences,
            children: split_off(&mut self.children, middle),
        };
        self.heads.truncate(self.fences.len());
        self.rebound(Bounds {
            low: bounds.low,
            high: Some(&fence),
        });
        right.rebound(Bounds {
            low: &fence,
            high: bounds.high,
        });
        Some((fence, Node::Inner(right)))
    }

    fn remove(
        &mut self,
        bounds: Bounds<'_>,
        key: &[u8],
        lsn: u64,
        growth: &mut Growth,
    ) -> Option<Version> {
        let child = self.child_of(key);
        let within = Self::bounds_of(&self.fences, bounds, child);
        let removed = self.children[child].remove(within, key, lsn, growth)?;
        if self.children[child].is_sparse() {
            let next = child + 1 < self.children.len();
            let joined = next && self.join(bounds, child, growth);
            // In a queue the next one is full, and the one before is empty.
            if !joined && child > 0 {
                self.join(bounds, child - 1, growth);
            }
        }
        Some(removed)
    }

    /// Joins a child with the next one if both fit in one well; false if they do not.
    fn join(&mut self, bounds: Bounds<'_>, left: usize, growth: &mut Growth) -> bool {
        if !self.children[left].fits_with(&self.children[left + 1]) {
            return false;
        }
        let joined = |inner: &Self| inner.bytes() + inner.children[left].own_bytes();
        let before = joined(self) + self.children[left + 1].own_bytes();
        let right = remove_at(&mut self.children, left + 1);
        let fence = remove_at(&mut self.fences, left);
        remove_at(&mut self.heads, left);
        let within = Self::bounds_of(&self.fences, bounds, left);
        let seam = self.children[left].len();
        self.children[left].append(within, fence, right);
        *growth += joined(self).cast_signed() - before.cast_signed();
        // Children that had no neighbour to be joined with may have one now.
        if let Node::Inner(inner) = &mut self.children[left]
            && let Some(before) = seam.checked_sub(1)
            && (inner.children[before].is_sparse() || inner.children[seam].is_sparse())
        {
            inner.join(within, before, growth);
        }
        true
    }
}

impl Node {
    pub(super) fn empty() -> Self {
        Self::Leaf(Leaf::default())
    }

    /// A new root.
    pub(super) fn above(left: Self, (fence, right): Split) -> Self {
        Self::Inner(Inner::of(Bounds::ALL, vec![fence], vec![left, right]))
    }

    pub(super) fn put(
        &mut self,
        bounds: Bounds<'_>,
        version: Version,
        growth: &mut Growth,
    ) -> (Option<Version>, Option<Split>) {
        match self {
            Self::Leaf(leaf) => leaf.put(bounds, version, growth),
            Self::Inner(inner) => inner.put(bounds, version, growth),
        }
    }

    pub(super) fn remove(
        &mut self,
        bounds: Bounds<'_>,
        key: &[u8],
        lsn: u64,
        growth: &mut Growth,
    ) -> Option<Version> {
        match self {
            Self::Leaf(leaf) => {
                let at = leaf.find(key).ok()?;
                if leaf.versions[at].lsn() != lsn {
                    return None;
                }
                let before = leaf.bytes();
                remove_at(&mut leaf.heads, at);
                let removed = remove_at(&mut leaf.versions, at);
                *growth += leaf.bytes().cast_signed() - before.cast_signed();
                Some(removed)
            }
            Self::Inner(inner) => inner.remove(bounds, key, lsn, growth),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.versions.len(),
            Self::Inner(inner) => inner.children.len(),
        }
    }

    fn most(&self) -> usize {
        match self {
            Self::Leaf(_) => LEAF,
            Self::Inner(_) => INNER,
        }
    }

    fn is_sparse(&self) -> bool {
        self.len() < self.most() / 4
    }

    fn fits_with(&self, right: &Self) -> bool {
        self.len() + right.len() <= self.most() * 3 / 4
    }

    /// Takes over what the next node of the same height holds.
    fn append(&mut self, bounds: Bounds<'_>, fence: Box<[u8]>, right: Self) {
        match (self, right) {
            (Self::Leaf(left), Self::Leaf(mut right)) => {
                append(&mut left.versions, &mut right.versions);
                left.skip = bounds.shared();
                left.take_heads();
            }
            (Self::Inner(left), Self::Inner(mut right)) => {
                left.fences.reserve_exact(right.fences.len() + 1);
                left.fences.push(fence);
                left.fences.append(&mut right.fences);
                append(&mut left.children, &mut right.children);
                left.skip = bounds.shared();
                left.take_heads();
            }
            (Self::Leaf(_), Self::Inner(_)) | (Self::Inner(_), Self::Leaf(_)) => {
                unreachable!("all leaves are at one height")
            }
        }
    }

    /// A root with one child is not needed.
    pub(super) fn collapse(&mut self, growth: &mut Growth) {
        while let Self::Inner(inner) = self
            && inner.children.len() == 1
        {
            *growth -= inner.bytes().cast_signed();
            if let Some(child) = inner.children.pop() {
                *self = child;
            }
        }
    }

    /// Bytes of its own, without those of its children.
    pub(super) fn own_bytes(&self) -> u64 {
        match self {
            Self::Leaf(leaf) => leaf.bytes(),
            Self::Inner(inner) => inner.bytes(),
        }
    }

    /// Bytes that it takes with all that is below it, counted anew.
    pub(super) fn bytes(&self) -> u64 {
        let below = match self {
            Self::Leaf(_) => 0,
            Self::Inner(inner) => inner.children.iter().map(Self::bytes).sum(),
        };
        self.own_bytes() + below
    }
}

/// For the checks of tests: every key is where its bounds say, in order, with the right head.
#[cfg(test)]
impl Node {
    pub(super) fn check(&self, bounds: Bounds<'_>, keys: &mut Vec<Vec<u8>>) -> usize {
        match self {
            Self::Leaf(leaf) => {
                assert_eq!(leaf.skip, bounds.shared());
                assert_eq!(leaf.heads.len(), leaf.versions.len());
                for (version, known) in leaf.versions.iter().zip(&leaf.heads) {
                    let key = version.key();
                    assert!(key >= bounds.low && bounds.high.is_none_or(|high| key < high));
                    assert_eq!(*known, head(key, leaf.skip));
                    assert!(common(key, bounds.low) >= leaf.skip);
                    keys.push(key.to_vec());
                }
                1
            }
            Self::Inner(inner) => {
                assert_eq!(inner.skip, bounds.shared());
                assert_eq!(inner.children.len(), inner.fences.len() + 1);
                assert_eq!(inner.heads.len(), inner.fences.len());
                let mut heights = Vec::new();
                for (at, child) in inner.children.iter().enumerate() {
                    let within = Inner::bounds_of(&inner.fences, bounds, at);
                    assert!(within.high.is_none_or(|high| within.low < high));
                    heights.push(child.check(within, keys));
                }
                assert!(heights.iter().all(|height| *height == heights[0]));
                heights[0] + 1
            }
        }
    }
}
