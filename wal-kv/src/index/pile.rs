//! A first-in, first-out queue whose whole content moves into another one in constant time.

use std::collections::{LinkedList, VecDeque};

/// Items are allocated together in chunks of this many.
const CHUNK: usize = 64;

/// See the module's head.
#[allow(clippy::linkedlist, reason = "two of them are joined in constant time")]
#[derive(Debug)]
pub(super) struct Pile<T> {
    /// None of them is empty.
    chunks: LinkedList<VecDeque<T>>,
    len: usize,
}

impl<T> Default for Pile<T> {
    fn default() -> Self {
        Self {
            chunks: LinkedList::new(),
            len: 0,
        }
    }
}

impl<T> Pile<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.chunks.front()?.front()
    }

    pub(super) fn push(&mut self, item: T) {
        self.len += 1;
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push_back(item),
            _ => self.chunks.push_back(VecDeque::from([item])),
        }
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let chunk = self.chunks.front_mut()?;
        let item = chunk.pop_front();
        if chunk.is_empty() {
            self.chunks.pop_front();
        }
        self.len -= usize::from(item.is_some());
        item
    }

    #[cfg(all(test, not(wal_shuttle)))]
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Moves all items of `other` to the end of this pile. The cost does not depend on how many there are.
    pub(super) fn append(&mut self, mut other: Self) {
        self.len += other.len;
        self.chunks.append(&mut other.chunks);
    }
}

impl<T> From<Vec<T>> for Pile<T> {
    /// One chunk, without copying.
    fn from(items: Vec<T>) -> Self {
        let mut pile = Self {
            len: items.len(),
            ..Self::default()
        };
        if !items.is_empty() {
            pile.chunks.push_back(items.into());
        }
        pile
    }
}
