//! What a group without records says, whatever its kind.

use super::decode::{
    decode_control, decode_cut, decode_gap, decode_index, decode_other, decode_stamp,
};
use super::footer::Footer;
use super::header::{GroupHeader, GroupKind};
use super::link::LinkBody;
use crate::control::{ControlBody, ControlChange};
use crate::error::GroupError;
use crate::ids::Lsn;

/// The payload of a group without records.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "engine"), non_exhaustive)]
pub enum GroupFacts {
    /// Nothing: the header's watermark is all.
    Stamp,
    /// Facts about the predecessor.
    Link(LinkBody),
    /// The log's first LSN from here on, in version 1.
    Cut(Lsn),
    /// Facts about the whole segment.
    Footer(Footer),
    /// Lost LSNs: the header's first, and as many as it counts.
    Gap,
    /// Control state, or changes of it.
    Control(ControlBody),
    /// Pages of an index.
    Index,
    /// Something that this crate does not know and may skip.
    Other,
}

impl GroupFacts {
    /// Reads the payload of the group with that header (rule 9 of a valid group).
    ///
    /// # Errors
    ///
    /// A [`GroupError`] that says what is wrong; for a group of records, that it is one.
    pub fn decode(payload: &[u8], header: &GroupHeader) -> Result<Self, GroupError> {
        match header.kind {
            GroupKind::Records => Err(GroupError::Field("a group of records")),
            GroupKind::Stamp => decode_stamp(payload, header).map(|()| Self::Stamp),
            GroupKind::Link => LinkBody::decode(payload, header).map(Self::Link),
            GroupKind::Cut => decode_cut(payload, header).map(Self::Cut),
            GroupKind::Footer => Footer::decode(payload, header).map(Self::Footer),
            GroupKind::Gap => decode_gap(payload, header).map(|()| Self::Gap),
            GroupKind::Control => decode_control(payload, header).map(Self::Control),
            GroupKind::Index => decode_index(payload, header).map(|()| Self::Index),
            GroupKind::Other(_) => decode_other(payload, header).map(|()| Self::Other),
        }
    }

    /// The log's first LSN, if the group says it.
    #[must_use]
    pub fn log_first(&self) -> Option<Lsn> {
        match self {
            Self::Cut(first) => Some(*first),
            Self::Link(link) => Some(link.log_first),
            Self::Footer(footer) => Some(footer.log_first),
            Self::Control(ControlBody::Changes(changes)) => {
                let firsts = changes.iter().filter_map(|change| match change {
                    ControlChange::First(first) => Some(*first),
                    _ => None,
                });
                firsts.max()
            }
            Self::Control(ControlBody::Table(_))
            | Self::Stamp
            | Self::Gap
            | Self::Index
            | Self::Other => None,
        }
    }
}
