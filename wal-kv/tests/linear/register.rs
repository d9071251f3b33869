//! What the calls on a store do: to one key, and to a few keys that are looked at together.

use super::checker::Model;

/// A value; every write has another one.
pub(super) type Value = u64;

/// What a conditional write asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Absent,
    Present,
    Is(Value),
}

impl Wanted {
    fn holds(self, state: Option<Value>) -> bool {
        match self {
            Self::Absent => state.is_none(),
            Self::Present => state.is_some(),
            Self::Is(value) => state == Some(value),
        }
    }
}

/// How a conditional write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Applied,
    /// The key had this value.
    Refused(Option<Value>),
}

/// A call on one key, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Get(Option<Value>),
    Contains(bool),
    /// A put, or a delete.
    Set(Option<Value>),
    /// The same where the key is as wanted.
    SetIf(Wanted, Option<Value>, Answer),
}

/// One key.
pub(super) struct Key;

impl Model for Key {
    type State = Option<Value>;
    type Call = Call;

    fn after(state: &Option<Value>, call: &Call) -> Option<Option<Value>> {
        match *call {
            Call::Get(found) => (found == *state).then_some(*state),
            Call::Contains(found) => (found == state.is_some()).then_some(*state),
            Call::Set(value) => Some(value),
            Call::SetIf(wanted, value, Answer::Applied) => wanted.holds(*state).then_some(value),
            Call::SetIf(wanted, _, Answer::Refused(found)) => {
                (!wanted.holds(*state) && found == *state).then_some(*state)
            }
        }
    }
}

/// How many keys are looked at together.
pub(super) const TOGETHER: usize = 3;

/// The values of all of them.
pub(super) type All = [Option<Value>; TOGETHER];

/// A call on several keys, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    /// All of them at once: `multi_get`, a view, a scan.
    Read(All),
    /// How many there are.
    Len(usize),
    /// A batch.
    Write(Vec<(usize, Option<Value>)>),
    /// A call on one of them.
    One(usize, Call),
}

/// All keys as one register.
pub(super) struct Tuple;

impl Model for Tuple {
    type State = All;
    type Call = Joint;

    fn after(state: &All, call: &Joint) -> Option<All> {
        match call {
            Joint::Read(found) => (found == state).then_some(*state),
            Joint::Len(found) => (*found == state.iter().flatten().count()).then_some(*state),
            Joint::Write(changes) => {
                let mut next = *state;
                for (key, value) in changes {
                    next[*key] = *value;
                }
                Some(next)
            }
            Joint::One(key, call) => {
                let mut next = *state;
                next[*key] = Key::after(&state[*key], call)?;
                Some(next)
            }
        }
    }
}
