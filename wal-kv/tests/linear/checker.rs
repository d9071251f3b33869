//! Searches for a legal order of a history (Wing and Gong; with Lowe's memory of what was tried).
//!
//! The search takes, again and again, one of the calls that began before any other one ended, if the model allows it in the state
//! that was reached; where none is left it goes back. A set of calls that were taken and the state that they led to is never
//! tried twice. Deliberately absent: what calls do (`register.rs`).

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;

/// What the calls of a history act on.
pub(super) trait Model {
    type State: Clone + Eq + Hash;
    type Call: fmt::Debug;

    /// The state behind `call`, if the answer that it got is the right one in `state`.
    fn after(state: &Self::State, call: &Self::Call) -> Option<Self::State>;
}

/// What its caller knows of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It returned this answer.
    Returned,
    /// An error, or the power failed: it had its effect by the end that is given, or never.
    Unknown,
}

/// One call of a history, and the moments when it began and ended; no two moments are alike.
#[derive(Clone, Debug)]
pub(super) struct Event<C> {
    pub(super) thread: usize,
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) fate: Fate,
    pub(super) call: C,
}

/// Marks the end of the list.
const NONE: usize = usize::MAX;

/// Begins and ends in the order of time, as a list in both directions from which a call can be taken, and put back. The begin of
/// call `n` is the node `2n`, its end `2n + 1`; the list's head is the last node.
struct Timeline {
    next: Vec<usize>,
    before: Vec<usize>,
}

impl Timeline {
    fn new<C>(events: &[Event<C>]) -> Self {
        let mut moments: Vec<(u64, usize)> = Vec::new();
        for (n, event) in events.iter().enumerate() {
            assert!(event.begin < event.end, "a call ends after it has begun");
            moments.push((event.begin, 2 * n));
            moments.push((event.end, 2 * n + 1));
        }
        moments.sort_unstable();
        let head = moments.len();
        let mut list = Self {
            next: vec![NONE; head + 1],
            before: vec![NONE; head + 1],
        };
        let mut behind = head;
        for (_, node) in moments {
            list.next[behind] = node;
            list.before[node] = behind;
            behind = node;
        }
        list
    }

    fn first(&self) -> usize {
        self.next[self.next.len() - 1]
    }

    fn unlink(&mut self, node: usize) {
        let (before, next) = (self.before[node], self.next[node]);
        self.next[before] = next;
        if next != NONE {
            self.before[next] = before;
        }
    }

    fn link(&mut self, node: usize) {
        let (before, next) = (self.before[node], self.next[node]);
        self.next[before] = node;
        if next != NONE {
            self.before[next] = node;
        }
    }

    fn take(&mut self, call: usize) {
        self.unlink(2 * call);
        self.unlink(2 * call + 1);
    }

    /// In the reverse order of `take`.
    fn put_back(&mut self, call: usize) {
        self.link(2 * call + 1);
        self.link(2 * call);
    }
}

/// A step of the search: this call was taken in this state; `skipped` if as one that never had its effect.
struct Step<S> {
    call: usize,
    state: S,
    skipped: bool,
}

/// A set of calls.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Taken(Vec<u64>);

impl Taken {
    fn flip(&mut self, call: usize) {
        self.0[call / 64] ^= 1 << (call % 64);
    }
}

/// Whether the history has a legal order that begins in `state`.
pub(super) fn is_linearizable<M: Model>(state: M::State, events: &[Event<M::Call>]) -> bool {
    let mut list = Timeline::new(events);
    let mut taken = Taken(vec![0; events.len().div_ceil(64)]);
    let mut tried = HashSet::new();
    let mut steps: Vec<Step<M::State>> = Vec::new();
    let mut state = state;
    let mut node = list.first();
    // A call that may be left out is tried with its effect first.
    let mut skip = false;
    while list.first() != NONE {
        let (call, is_end) = (node / 2, node % 2 == 1);
        if is_end {
            // Whatever comes first, it is not in the order yet: go back.
            let Some(step) = steps.pop() else {
                return false;
            };
            list.put_back(step.call);
            taken.flip(step.call);
            state = step.state;
            let event = &events[step.call];
            skip = event.fate == Fate::Unknown && !step.skipped;
            node = if skip {
                2 * step.call
            } else {
                list.next[2 * step.call]
            };
            continue;
        }
        let event = &events[call];
        let next = if skip {
            Some(state.clone())
        } else {
            M::after(&state, &event.call)
        };
        let mut led = false;
        if let Some(next) = next {
            taken.flip(call);
            if tried.insert((taken.clone(), next.clone())) {
                list.take(call);
                let state = std::mem::replace(&mut state, next);
                let skipped = skip;
                steps.push(Step {
                    call,
                    state,
                    skipped,
                });
                led = true;
            } else {
                taken.flip(call);
            }
        }
        if led {
            skip = false;
            node = list.first();
        } else if event.fate == Fate::Unknown && !skip {
            skip = true;
        } else {
            skip = false;
            node = list.next[node];
        }
    }
    true
}
