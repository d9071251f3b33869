//! Which histories the records of several segments have.

use wal_format::{Histories, History, Lsn, Stretch};

/// The history of a segment's record, or of the one before its first.
pub(crate) fn history_at(first_lsn: Lsn, histories: &Histories, lsn: Lsn) -> History {
    if lsn < first_lsn {
        histories.before()
    } else {
        histories.of(lsn)
    }
}

/// The histories of a segment that holds copies of the records above `after` up to `to`, which lie in `parts`, and whose new
/// records have the history `new`.
pub(crate) fn copied<'a>(
    parts: impl Iterator<Item = (Lsn, &'a Histories, Lsn)>,
    after: Lsn,
    to: Lsn,
    new: History,
) -> Histories {
    let mut before = None;
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut reached = after;
    for (first_lsn, histories, end) in parts {
        before.get_or_insert_with(|| history_at(first_lsn, histories, after));
        let end = end.min(to);
        let from = reached.max(first_lsn.prev());
        stretches.extend(histories.between(from, end));
        reached = reached.max(end);
    }
    Histories::after(before.unwrap_or_default(), &stretches, new)
}
