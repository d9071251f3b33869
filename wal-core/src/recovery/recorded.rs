//! The recorded history of a log: losses that a repair recorded. Reads only.
//!
//! Only copies record losses: a repair makes one, and a later copy of its records includes the loss. A copy ends with its first
//! stamp, so few groups are read here, and none in a log that was never copied.

use std::io;

use wal_format::{GroupKind, Lsn, decode_gap};

use super::tail::ChainLink;
use crate::segment::{GroupStep, SegmentCursor};

/// Bytes per read: the header of a group, and the short body of a gap.
const WINDOW: usize = 4 << 10;

/// First and last LSN of each loss between `first` and `last`, oldest first. Losses after damage in a segment are not found:
/// verification and readers report that damage.
pub(super) fn recorded_gaps(chain: &[ChainLink], first: Lsn, last: Lsn) -> Vec<(Lsn, Lsn)> {
    let mut gaps = Vec::new();
    for link in chain {
        if link.facts.header.origin.is_whole() && link.end.lsn >= first {
            // Damage here refuses nothing: opening the log does not need these groups.
            let _ = gaps_of_copy(link, &mut gaps);
        }
    }
    let within = |(from, to): (Lsn, Lsn)| (from.max(first), to.min(last));
    let gaps = gaps.into_iter().map(within);
    gaps.filter(|(from, to)| from <= to).collect()
}

fn gaps_of_copy(link: &ChainLink, gaps: &mut Vec<(Lsn, Lsn)>) -> io::Result<()> {
    let mut cursor = SegmentCursor::new(link.facts.open()?, link.facts.header, link.end.offset);
    cursor.set_window(WINDOW);
    while let GroupStep::Group(header) = cursor.next_group()? {
        match header.kind {
            GroupKind::Records => cursor.skip_group(),
            GroupKind::Gap if decode_gap(&cursor.payload(&header)?, &header).is_ok() => {
                gaps.push((header.first_lsn, header.end_lsn()));
            }
            GroupKind::Link | GroupKind::Control | GroupKind::Other(_) => {}
            _ => break,
        }
    }
    Ok(())
}

/// How many LSNs lie in the gaps.
pub(crate) fn lost_in(gaps: &[(Lsn, Lsn)]) -> u64 {
    let lost = gaps.iter().map(|(from, to)| to.get() - from.get() + 1);
    lost.fold(0, u64::saturating_add)
}
