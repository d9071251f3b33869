//! A directory: names now, names that are durable, and the changes in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chooser::{Chooser, pick};
use super::config::DirectoryOrder;

pub(super) type Names = BTreeMap<Arc<str>, Node>;

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    File(usize),
    Directory(usize),
}

/// A change of names; `seq` is its place among all changes of the machine.
#[derive(Debug, Clone)]
struct Change {
    seq: u64,
    action: Action,
}

#[derive(Debug, Clone)]
enum Action {
    Link {
        name: Arc<str>,
        node: Node,
    },
    Unlink {
        name: Arc<str>,
    },
    Rename {
        from: Arc<str>,
        to: Arc<str>,
        node: Node,
    },
}

impl Action {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Link { name, node } => {
                names.insert(Arc::clone(name), *node);
            }
            Self::Unlink { name } => {
                names.remove(name);
            }
            Self::Rename { from, to, node } => {
                names.remove(from);
                names.insert(Arc::clone(to), *node);
            }
        }
    }

    fn names(&self) -> [&Arc<str>; 2] {
        match self {
            Self::Link { name, .. } | Self::Unlink { name } => [name, name],
            Self::Rename { from, to, .. } => [from, to],
        }
    }

    fn node(&self) -> Option<Node> {
        match self {
            Self::Link { node, .. } | Self::Rename { node, .. } => Some(*node),
            Self::Unlink { .. } => None,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    /// What programs see.
    names: Names,
    durable: Names,
    pending: Vec<Change>,
    /// Whether someone holds the lock of the directory.
    pub(super) locked: bool,
    /// It was deleted: through an open descriptor, nothing is found in it and nothing can be created in it.
    removed: bool,
}

impl Directory {
    pub(super) fn after_crash(names: Names) -> Self {
        Self {
            durable: names.clone(),
            names,
            ..Self::default()
        }
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed
    }

    /// Deletes it and all that is in it, durably.
    pub(super) fn remove_all(&mut self) {
        *self = Self {
            locked: self.locked,
            removed: true,
            ..Self::default()
        };
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    pub(super) fn get(&self, name: &str) -> Option<Node> {
        self.names.get(name).copied()
    }

    pub(super) fn link(&mut self, name: Arc<str>, node: Node, seq: u64) {
        self.change(Action::Link { name, node }, seq);
    }

    pub(super) fn unlink(&mut self, name: Arc<str>, seq: u64) {
        self.change(Action::Unlink { name }, seq);
    }

    pub(super) fn rename(&mut self, from: Arc<str>, to: Arc<str>, node: Node, seq: u64) {
        self.change(Action::Rename { from, to, node }, seq);
    }

    fn change(&mut self, action: Action, seq: u64) {
        action.apply(&mut self.names);
        self.pending.push(Change { seq, action });
    }

    /// A sync that worked.
    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.action.apply(&mut self.durable);
        }
    }

    /// A sync that wrote only the first `written` changes and forgot the others, which stay visible.
    pub(super) fn forget_after(&mut self, written: usize) {
        for change in self.pending.drain(..).take(written) {
            change.action.apply(&mut self.durable);
        }
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn pending_seqs(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().map(|change| change.seq)
    }

    pub(super) fn has_pending(&self, node: Node) -> bool {
        self.pending
            .iter()
            .any(|change| change.action.node() == Some(node))
    }

    /// Every node that some crash could leave here, with repetitions.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Node> {
        let pending = self
            .pending
            .iter()
            .filter_map(|change| change.action.node());
        self.names
            .values()
            .chain(self.durable.values())
            .copied()
            .chain(pending)
    }

    /// The names that a crash leaves.
    pub(super) fn crash(&self, order: DirectoryOrder, chooser: &mut dyn Chooser) -> Names {
        let mut names = self.durable.clone();
        match order {
            DirectoryOrder::Ordered => {
                let kept = pick(chooser, self.pending.len() + 1);
                self.pending[..kept]
                    .iter()
                    .for_each(|change| change.action.apply(&mut names));
            }
            DirectoryOrder::Unordered => {
                // Once a change of a name is lost, later ones of that name are lost too.
                let mut lost: Vec<&Arc<str>> = Vec::new();
                for change in &self.pending {
                    let touched = change.action.names();
                    let follows_lost = touched.iter().any(|name| lost.contains(name));
                    if !follows_lost && pick(chooser, 2) == 1 {
                        change.action.apply(&mut names);
                    } else {
                        lost.extend(touched);
                    }
                }
            }
        }
        names
    }

    /// The names as they were after the change with number `last`.
    pub(super) fn prefix(&self, last: u64) -> Names {
        let mut names = self.durable.clone();
        let kept = self.pending.iter().take_while(|change| change.seq <= last);
        kept.for_each(|change| change.action.apply(&mut names));
        names
    }
}
