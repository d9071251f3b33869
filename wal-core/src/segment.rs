//! Reading segment files: one decode path for readers, recovery and verification.
//!
//! Deliberately absent: which segments make the log (see [`crate::recovery`]) and how far a reader may go (see
//! [`crate::reader`]).

mod create;
mod eras;
mod facts;
mod files;
mod index;
mod known;
mod learn;
mod lineage;
mod links;
mod live;
mod point;
mod salvage;
mod seal;
mod search;
mod steps;
mod window;

pub(crate) use create::{allocate, create_segment_file};
pub(crate) use eras::{Era, Eras};
pub(crate) use facts::{LinkFacts, NEWEST, SegmentFacts, check_link, decode_header, read_link};
pub(crate) use files::Files;
pub(crate) use index::{Dated, Hint, SegmentIndex};
pub(crate) use lineage::{copied, history_at};
pub(crate) use links::{ChainEntry, Mark, Predecessor, first_record_offset, link_body};
pub(crate) use live::LiveSegment;
pub(crate) use point::{SEEK_WINDOW, WALK_WINDOW, record_after, record_at};
pub(crate) use salvage::{Salvage, Salvaged};
pub(crate) use seal::{Sealing, write_footer};
pub(crate) use steps::{GroupStep, RecordStep, SegmentCursor};
