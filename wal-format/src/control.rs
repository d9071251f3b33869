//! What belongs to a log and is not history: a term and consumers; and the changes of it.
//!
//! Deliberately absent: what the state means, and the log's first LSN, which links and footers have.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::GroupError;
use crate::histories::History;
use crate::ids::{Lsn, SegmentId};
use crate::wire::{is_zero, put, u16_at, u32_at, u64_at};

/// The first byte of a payload: all that is known, or changes.
const TABLE: u8 = 1;
const CHANGES: u8 = 2;
/// Form, three bytes of zeros, number of entries.
const HEAD: usize = 8;
/// Tag, a byte of zero, length of the body.
const ENTRY_HEAD: usize = 4;

const FIRST: u8 = 1;
const TERM: u8 = 2;
const CONSUMER: u8 = 3;
const NO_CONSUMER: u8 = 4;
const LOST: u8 = 5;
/// An unknown entry with this bit is kept as it is.
const OPTIONAL: u8 = 0x80;

/// Bytes of a consumer's entry before its name.
const CONSUMER_LEN: usize = 24;
/// Bytes of an entry that is one number.
const NUMBER_LEN: usize = 8;
/// Flag of a consumer: a truncation has moved it back.
const MOVED: u64 = 1;
/// Most bytes of a consumer's name.
pub const MOST_NAME: usize = 64;

/// Where a consumer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The last record that it has acknowledged; 0 for none.
    pub lsn: Lsn,
    /// That record's history.
    pub history: History,
    /// A truncation has moved it back, and it was not told yet.
    pub moved: bool,
}

/// One change of the control state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "engine"), non_exhaustive)]
pub enum ControlChange {
    /// The log's first LSN from here on.
    First(Lsn),
    /// The term.
    Term(u64),
    /// A consumer is new, or stands somewhere else.
    Consumer(Box<str>, Consumer),
    /// A consumer is removed.
    NoConsumer(Box<str>),
    /// The state that this segment held could not be read, and this is an older one. Only in tables.
    Lost(SegmentId),
    /// An entry that this crate does not know and keeps.
    Unknown(u8, Box<[u8]>),
}

/// The control state, without the log's first LSN.
///
/// ```
/// use wal_format::{Consumer, Control, ControlChange, History, Lsn};
///
/// let mut control = Control::default();
/// let at = Consumer { lsn: Lsn::new(7), history: History::new(1), moved: false };
/// control.apply(&ControlChange::Consumer("billing".into(), at));
/// control.truncate_after(Lsn::new(5), History::new(1));
/// assert_eq!(control.consumers()["billing"].lsn, Lsn::new(5));
/// assert!(control.consumers()["billing"].moved);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    term: u64,
    consumers: BTreeMap<Box<str>, Consumer>,
    lost: Option<SegmentId>,
    unknown: BTreeSet<(u8, Box<[u8]>)>,
}

impl Control {
    /// The term; 0 if none was set.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The consumers by name.
    #[must_use]
    pub fn consumers(&self) -> &BTreeMap<Box<str>, Consumer> {
        &self.consumers
    }

    /// The segment whose state could not be read, if this is only an older one.
    #[must_use]
    pub fn lost(&self) -> Option<SegmentId> {
        self.lost
    }

    /// Whether its owner has never set anything, or has removed all of it.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.term == 0 && self.consumers.is_empty() && self.unknown.is_empty()
    }

    /// Says that newer state was lost with `segment`.
    pub fn mark_lost(&mut self, segment: SegmentId) {
        self.lost = Some(segment);
    }

    /// The owner sets the term and the consumers, whatever they were. Then nothing is lost any more.
    pub fn set(&mut self, term: u64, consumers: BTreeMap<Box<str>, Consumer>) {
        (self.term, self.consumers, self.lost) = (term, consumers, None);
    }

    /// Makes a change. The log's first LSN is not kept here.
    pub fn apply(&mut self, change: &ControlChange) {
        match change {
            ControlChange::First(_) => {}
            ControlChange::Term(term) => self.term = *term,
            ControlChange::Consumer(name, consumer) => {
                self.consumers.insert(name.clone(), *consumer);
            }
            ControlChange::NoConsumer(name) => {
                self.consumers.remove(name);
            }
            ControlChange::Lost(segment) => self.lost = Some(*segment),
            ControlChange::Unknown(tag, body) => {
                self.unknown.insert((*tag, body.clone()));
            }
        }
    }

    /// Moves consumers back that stand above `kept`, the last LSN that stays; `history` is that record's.
    pub fn truncate_after(&mut self, kept: Lsn, history: History) {
        for consumer in self.consumers.values_mut() {
            if consumer.lsn > kept {
                *consumer = Consumer {
                    lsn: kept,
                    history,
                    moved: true,
                };
            }
        }
    }

    /// Bytes of the table.
    #[must_use]
    pub fn table_len(&self) -> usize {
        let number = |is_set: bool| usize::from(is_set) * (ENTRY_HEAD + NUMBER_LEN);
        let consumers = self.consumers.keys().map(|name| consumer_len(name));
        let unknown = self.unknown.iter().map(|(_, body)| ENTRY_HEAD + body.len());
        HEAD + number(self.term != 0)
            + consumers.sum::<usize>()
            + number(self.lost.is_some())
            + unknown.sum::<usize>()
    }

    /// The same after changes of the term and of consumers.
    #[must_use]
    pub fn table_len_after(&self, changes: &[ControlChange]) -> usize {
        let mut len = self.table_len();
        let mut term = self.term;
        let mut latest: BTreeMap<&str, bool> = BTreeMap::new();
        for change in changes {
            match change {
                ControlChange::Term(to) => {
                    if (*to == 0) != (term == 0) {
                        let entry = entry_len(change);
                        len = if *to == 0 { len - entry } else { len + entry };
                    }
                    term = *to;
                }
                ControlChange::Consumer(name, _) | ControlChange::NoConsumer(name) => {
                    let stays = matches!(change, ControlChange::Consumer(..));
                    let before = latest.insert(name, stays);
                    let was = before.unwrap_or_else(|| self.consumers.contains_key(name));
                    match (was, stays) {
                        (false, true) => len += consumer_len(name),
                        (true, false) => len -= consumer_len(name),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        len
    }

    /// The table: the payload of a control group, and a part of a footer. Equal states have equal bytes.
    ///
    /// # Panics
    ///
    /// If a name or an unknown entry has 64 KiB or more. Decoded ones are shorter.
    #[must_use]
    pub fn table(&self) -> Vec<u8> {
        encode(TABLE, self.entries())
    }

    /// All that is known, in the order of a table.
    fn entries(&self) -> impl Iterator<Item = ControlChange> {
        let term = (self.term != 0).then_some(ControlChange::Term(self.term));
        let consumers = self.consumers.iter();
        let unknown = self.unknown.iter();
        term.into_iter()
            .chain(consumers.map(|(name, at)| ControlChange::Consumer(name.clone(), *at)))
            .chain(self.lost.map(ControlChange::Lost))
            .chain(unknown.map(|(tag, body)| ControlChange::Unknown(*tag, body.clone())))
    }

    /// Reads a table. Allocates no more than a small multiple of its bytes.
    ///
    /// # Errors
    ///
    /// [`GroupError::UnknownTag`] for an entry that must be understood, otherwise what is wrong.
    pub fn decode(payload: &[u8]) -> Result<Self, GroupError> {
        let mut control = Self::default();
        for change in changes(TABLE, payload)? {
            match change {
                ControlChange::First(_) | ControlChange::NoConsumer(_) => {
                    return Err(GroupError::Field("a table of control state has a change"));
                }
                change => control.apply(&change),
            }
        }
        if control.table() == payload {
            Ok(control)
        } else {
            Err(GroupError::Field("the control state is not in order"))
        }
    }
}

/// What the payload of a control group says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "engine"), non_exhaustive)]
pub enum ControlBody {
    /// All that is known, instead of all before.
    Table(Control),
    /// Changes, in their order.
    Changes(Vec<ControlChange>),
}

impl ControlBody {
    /// Reads the payload of a control group.
    ///
    /// # Errors
    ///
    /// As for [`Control::decode`].
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, GroupError> {
        if payload.first() == Some(&TABLE) {
            return Control::decode(payload).map(Self::Table);
        }
        let changes = changes(CHANGES, payload)?;
        if changes.is_empty() {
            return Err(GroupError::Field("a control group without changes"));
        }
        if changes
            .iter()
            .any(|change| matches!(change, ControlChange::Lost(_)))
        {
            return Err(GroupError::Field("an entry of tables among changes"));
        }
        Ok(Self::Changes(changes))
    }
}

/// Bytes of the payload of a control group with these changes.
#[must_use]
pub fn changes_len<'a>(changes: impl IntoIterator<Item = &'a ControlChange>) -> usize {
    HEAD + changes.into_iter().map(entry_len).sum::<usize>()
}

/// The payload of a control group with these changes.
pub(crate) fn encode_changes(changes: &[ControlChange]) -> Vec<u8> {
    encode(CHANGES, changes.iter().cloned())
}

fn consumer_len(name: &str) -> usize {
    ENTRY_HEAD + CONSUMER_LEN + name.len()
}

fn entry_len(change: &ControlChange) -> usize {
    match change {
        ControlChange::First(_) | ControlChange::Term(_) | ControlChange::Lost(_) => {
            ENTRY_HEAD + NUMBER_LEN
        }
        ControlChange::Consumer(name, _) => consumer_len(name),
        ControlChange::NoConsumer(name) => ENTRY_HEAD + name.len(),
        ControlChange::Unknown(_, body) => ENTRY_HEAD + body.len(),
    }
}

fn encode(form: u8, entries: impl Iterator<Item = ControlChange>) -> Vec<u8> {
    let mut bytes = vec![0; HEAD];
    bytes[0] = form;
    let mut count = 0_u32;
    for entry in entries {
        count += 1;
        let at = bytes.len();
        bytes.extend_from_slice(&[0; ENTRY_HEAD]);
        let tag = put_body(&mut bytes, &entry);
        bytes[at] = tag;
        let len = u16::try_from(bytes.len() - at - ENTRY_HEAD).expect("names are short");
        put(&mut bytes, at + 2, &len.to_le_bytes());
    }
    put(&mut bytes, 4, &count.to_le_bytes());
    bytes
}

/// Appends the body of an entry; returns its tag.
fn put_body(bytes: &mut Vec<u8>, entry: &ControlChange) -> u8 {
    let mut number = |number: u64| bytes.extend_from_slice(&number.to_le_bytes());
    match entry {
        ControlChange::First(lsn) => {
            number(lsn.get());
            FIRST
        }
        ControlChange::Term(term) => {
            number(*term);
            TERM
        }
        ControlChange::Consumer(name, consumer) => {
            number(consumer.lsn.get());
            number(consumer.history.get());
            number(if consumer.moved { MOVED } else { 0 });
            bytes.extend_from_slice(name.as_bytes());
            CONSUMER
        }
        ControlChange::NoConsumer(name) => {
            bytes.extend_from_slice(name.as_bytes());
            NO_CONSUMER
        }
        ControlChange::Lost(segment) => {
            number(segment.get());
            LOST
        }
        ControlChange::Unknown(tag, body) => {
            bytes.extend_from_slice(body);
            *tag
        }
    }
}

/// The entries of a payload.
fn changes(form: u8, payload: &[u8]) -> Result<Vec<ControlChange>, GroupError> {
    let Some((head, mut rest)) = payload.split_at_checked(HEAD) else {
        return Err(GroupError::Field("the control state is too short"));
    };
    if head[0] != form || !is_zero(&head[1..4]) {
        return Err(GroupError::Field(
            "the form of the control state is unknown",
        ));
    }
    let mut changes = Vec::new();
    for _ in 0..u32_at(head, 4) {
        let Some((head, behind)) = rest.split_at_checked(ENTRY_HEAD) else {
            return Err(GroupError::Field("the control state is too short"));
        };
        let Some((body, behind)) = behind.split_at_checked(usize::from(u16_at(head, 2))) else {
            return Err(GroupError::Field("the control state is too short"));
        };
        if head[1] != 0 {
            return Err(GroupError::Field("an entry's reserved byte is not zero"));
        }
        changes.push(entry(head[0], body)?);
        rest = behind;
    }
    if rest.is_empty() {
        Ok(changes)
    } else {
        Err(GroupError::Field("bytes follow the control state"))
    }
}

fn entry(tag: u8, body: &[u8]) -> Result<ControlChange, GroupError> {
    let exactly = |len: usize| {
        let fits = body.len() == len;
        fits.then_some(()).ok_or(GroupError::Field(
            "an entry of the control state has another length than its tag says",
        ))
    };
    match tag {
        FIRST | TERM | LOST => {
            exactly(NUMBER_LEN)?;
            let number = u64_at(body, 0);
            Ok(match tag {
                FIRST => ControlChange::First(Lsn::new(number)),
                TERM => ControlChange::Term(number),
                _ => ControlChange::Lost(SegmentId::new(number)),
            })
        }
        CONSUMER => {
            let Some((fixed, name)) = body.split_at_checked(CONSUMER_LEN) else {
                return Err(GroupError::Field("a consumer's entry is too short"));
            };
            let flags = u64_at(fixed, 16);
            if flags & !MOVED != 0 {
                return Err(GroupError::Field("a consumer has unknown flags"));
            }
            let consumer = Consumer {
                lsn: Lsn::new(u64_at(fixed, 0)),
                history: History::new(u64_at(fixed, 8)),
                moved: flags & MOVED != 0,
            };
            Ok(ControlChange::Consumer(name_of(name)?, consumer))
        }
        NO_CONSUMER => Ok(ControlChange::NoConsumer(name_of(body)?)),
        tag if tag & OPTIONAL != 0 => Ok(ControlChange::Unknown(tag, body.into())),
        tag => Err(GroupError::UnknownTag(tag)),
    }
}

fn name_of(bytes: &[u8]) -> Result<Box<str>, GroupError> {
    let name = std::str::from_utf8(bytes).ok();
    let name = name.filter(|name| (1..=MOST_NAME).contains(&name.len()));
    name.map(Box::from).ok_or(GroupError::Field(
        "a consumer's name is not 1 to 64 bytes of UTF-8",
    ))
}
