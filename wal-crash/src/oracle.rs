//! What must be in the log: a plain vector of records, and how far they were acknowledged.

use std::collections::BTreeSet;
use std::fmt;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

/// Returns a violation with this text if `$broken` holds.
macro_rules! fail_if {
    ($broken:expr, $($text:tt)+) => {
        if $broken {
            return Err($crate::oracle::Violation(format!($($text)+)).into());
        }
    };
}
pub(crate) use fail_if;

/// One record that was submitted.
#[derive(Clone, Debug)]
struct Submitted {
    value: Vec<u8>,
    /// The last of its batch.
    ends_batch: bool,
}

/// The reference model. Record n has LSN n + 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Oracle {
    records: Vec<Submitted>,
    made: u64,
    /// Highest LSN acknowledged durable.
    acked: u64,
    /// Highest LSN acknowledged as handed over.
    flushed: u64,
    /// First LSN by the last truncation that returned Ok.
    first_acked: u64,
    /// First LSN by the last truncation that was begun.
    first_asked: u64,
    /// The highest first LSN that was ever asked for.
    first_wanted: u64,
    /// A first LSN, and the record without which it is not set.
    record_of: Option<(u64, u64)>,
    /// No record above this may be acknowledged any more: it is in a file that is gone, or in a log that must have noticed that it
    /// was moved.
    most: Option<u64>,
    /// What a `truncate_after` that was begun and has not returned keeps: it may have happened.
    cut_asked: Option<u64>,
    /// Where a close was begun: only there may a log be found cleanly closed.
    closes: BTreeSet<u64>,
    /// The highest LSN that the log has ever called durable.
    called_durable: u64,
    /// Records that a truncation has dropped from the end, with the LSNs that they had.
    dropped: Vec<(u64, Vec<u8>)>,
    /// The same for records that a crash took.
    taken: Vec<(u64, Vec<u8>)>,
    /// A sync has claimed what is not true: acknowledgements mean nothing from now on.
    untrue: bool,
}

impl Oracle {
    /// Nothing was appended.
    pub(crate) fn new() -> Self {
        Self {
            first_acked: 1,
            first_asked: 1,
            first_wanted: 1,
            ..Self::default()
        }
    }

    /// A value that no other record has.
    pub(crate) fn make(&mut self, len: u32) -> Vec<u8> {
        self.made += 1;
        let stamp = self.made.to_le_bytes();
        let mut value: Vec<u8> = stamp.iter().copied().cycle().take(len as usize).collect();
        if value.len() < stamp.len() {
            // Short records, also empty ones, must work; they are told apart by their neighbours.
            return value;
        }
        value[8..]
            .iter_mut()
            .for_each(|byte| *byte = byte.wrapping_mul(31).wrapping_add(7));
        value
    }

    /// The last LSN submitted.
    pub(crate) fn last(&self) -> u64 {
        self.records.len() as u64
    }

    /// The highest LSN acknowledged durable.
    pub(crate) fn acked(&self) -> u64 {
        self.acked
    }

    /// The highest LSN acknowledged as handed over.
    pub(crate) fn flushed(&self) -> u64 {
        self.flushed
    }

    /// The lowest LSN that may be asked for.
    pub(crate) fn first(&self) -> u64 {
        self.first_asked
    }

    /// The highest first LSN that was ever asked for, though a crash may have undone it.
    pub(crate) fn first_wanted(&self) -> u64 {
        self.first_wanted
    }

    /// The value of the record with this LSN.
    pub(crate) fn value(&self, lsn: u64) -> Option<&[u8]> {
        let at = usize::try_from(lsn.checked_sub(1)?).ok()?;
        Some(&self.records.get(at)?.value)
    }

    /// Records of one batch may be in the log from now on.
    pub(crate) fn submit(&mut self, values: Vec<Vec<u8>>) {
        let count = values.len();
        let records = values.into_iter().enumerate();
        self.records.extend(records.map(|(at, value)| Submitted {
            value,
            ends_batch: at + 1 == count,
        }));
    }

    /// Everything up to `lsn` was acknowledged durable.
    ///
    /// # Errors
    /// That many records were never submitted.
    pub(crate) fn ack(&mut self, lsn: u64) -> Result<(), Violation> {
        fail_if!(
            lsn > self.last(),
            "LSN {lsn} is called durable, only {} were appended",
            self.last()
        );
        if let Some(most) = self.most
            && lsn > most
        {
            return Err(Violation(format!(
                "LSN {lsn} is called durable in a log that was displaced at LSN {most}"
            )));
        }
        self.acked = self.acked.max(lsn);
        self.flushed = self.flushed.max(lsn);
        self.called_durable = self.called_durable.max(lsn);
        Ok(())
    }

    /// No record above `lsn` may be acknowledged in this life, unless it has been.
    pub(crate) fn forbid_above(&mut self, lsn: u64) {
        let lsn = lsn.max(self.acked);
        self.most = Some(self.most.map_or(lsn, |most| most.min(lsn)));
    }

    /// The life is over: the next one acknowledges records again.
    pub(crate) fn allow(&mut self) {
        self.most = None;
    }

    /// The log was deleted: the next one has no records, and none that this one had.
    pub(crate) fn start_over(&mut self) {
        *self = Self {
            made: self.made,
            untrue: self.untrue,
            ..Self::new()
        };
    }

    /// Everything up to `lsn` was handed over.
    pub(crate) fn flush(&mut self, lsn: u64) {
        self.flushed = self.flushed.max(lsn);
    }

    /// The log calls everything up to `lsn` durable, although nobody was told.
    pub(crate) fn durable(&mut self, lsn: u64) {
        self.called_durable = self.called_durable.max(lsn);
    }

    /// A truncation to `first` was begun.
    pub(crate) fn ask_truncate(&mut self, first: u64) {
        self.first_asked = self.first_asked.max(first);
        self.first_wanted = self.first_wanted.max(first);
        self.record_of = None;
    }

    /// The same, together with the record `lsn`.
    pub(crate) fn ask_truncate_with(&mut self, first: u64, lsn: u64) {
        let raises = first > self.first_asked;
        self.ask_truncate(first);
        self.record_of = raises.then_some((first, lsn));
    }

    /// It returned Ok.
    pub(crate) fn ack_truncate(&mut self, first: u64) {
        self.first_acked = self.first_acked.max(first);
    }

    /// A truncation of all behind `kept` was begun. Everything is made durable before.
    pub(crate) fn ask_cut(&mut self, kept: u64) {
        self.cut_asked = Some(kept);
        self.record_of = None;
        self.called_durable = self.last();
    }

    /// It was refused: the log is as it was.
    pub(crate) fn refuse_cut(&mut self) {
        self.cut_asked = None;
    }

    /// It returned Ok: what stays is durable, and what was removed never comes back; its LSNs are given again. A batch ends
    /// where it was cut.
    pub(crate) fn ack_cut(&mut self, kept: u64) {
        self.cut(kept);
        self.acked = kept;
        self.flushed = kept;
    }

    fn cut(&mut self, kept: u64) {
        let dropped = self
            .records
            .drain((kept as usize).min(self.records.len())..);
        let lsns = kept + 1..;
        self.dropped
            .extend(lsns.zip(dropped.map(|record| record.value)));
        if let Some(last) = self.records.last_mut() {
            last.ends_batch = true;
        }
        self.closes.retain(|at| *at <= kept);
        self.called_durable = self.called_durable.min(kept);
        self.cut_asked = None;
    }

    /// What the truncation that is under way keeps.
    pub(crate) fn cut_asked(&self) -> Option<u64> {
        self.cut_asked
    }

    /// A close was begun.
    pub(crate) fn ask_close(&mut self) {
        self.closes.insert(self.last());
    }

    /// A sync has claimed what is not true.
    pub(crate) fn distrust(&mut self) {
        self.untrue = true;
    }

    /// Whether a sync has claimed what is not true.
    pub(crate) fn is_distrusted(&self) -> bool {
        self.untrue
    }

    /// Compares a record that was read.
    ///
    /// # Errors
    /// It is not the one that was submitted there.
    pub(crate) fn check_record(&self, lsn: u64, value: &[u8]) -> Result<(), Violation> {
        let submitted = lsn
            .checked_sub(1)
            .and_then(|at| self.records.get(at as usize));
        match submitted {
            None => Err(Violation(format!(
                "LSN {lsn} was invented: only {} were appended",
                self.last()
            ))),
            Some(submitted) if submitted.value != value => Err(Violation(format!(
                "LSN {lsn} has other bytes than were appended"
            ))),
            Some(_) => Ok(()),
        }
    }

    /// Whether the record is one that a truncation has dropped, on a disk that has lied: then the truncation is undone as any
    /// other change may be.
    pub(crate) fn is_back(&self, lsn: u64, value: &[u8]) -> bool {
        self.untrue && self.was_dropped(lsn, value)
    }

    /// Whether the record was one of the log, until a truncation dropped it from the end.
    pub(crate) fn was_dropped(&self, lsn: u64, value: &[u8]) -> bool {
        let same = |(at, dropped): &(u64, Vec<u8>)| *at == lsn && dropped == value;
        self.dropped.iter().any(same)
    }

    /// Whether the record was one of the log, until a truncation or a crash took it. Its LSN may have been given again.
    pub(crate) fn was_there(&self, lsn: u64, value: &[u8]) -> bool {
        let same = |(at, taken): &(u64, Vec<u8>)| *at == lsn && taken == value;
        self.was_dropped(lsn, value) || self.taken.iter().any(same)
    }

    /// Whether the log ends at a record that a truncation has dropped, as far as its LSN says.
    pub(crate) fn may_be_back(&self, last: u64) -> bool {
        self.untrue && last > self.last() && self.dropped.iter().any(|(at, _)| *at == last)
    }

    /// The LSN up to which the log must reach.
    pub(crate) fn must(&self, after: After) -> u64 {
        match after {
            After::PowerLoss => self.acked,
            After::Kill => self.flushed,
            After::Drop => self.last(),
        }
    }

    /// Checks the extent of the log after an open.
    ///
    /// # Errors
    /// A broken promise: something acknowledged is missing, a batch is torn, something truncated is back.
    pub(crate) fn check_extent(
        &self,
        first: u64,
        last: u64,
        after: After,
    ) -> Result<(), Violation> {
        if self.cut_asked == Some(last) {
            return self.check_first(first, last);
        }
        let must = self.must(after);
        fail_if!(
            last < must && !self.untrue,
            "the log ends at LSN {last}, but {must} were acknowledged ({after:?})"
        );
        fail_if!(
            last > self.last(),
            "the log ends at LSN {last}, only {} were appended",
            self.last()
        );
        fail_if!(
            last > 0 && !self.records[last as usize - 1].ends_batch,
            "the log ends at LSN {last}, inside a batch"
        );
        self.check_first(first, last)
    }

    fn check_first(&self, first: u64, last: u64) -> Result<(), Violation> {
        fail_if!(
            first < self.first_acked && !self.untrue,
            "the log starts at LSN {first}, it was truncated to {}",
            self.first_acked
        );
        fail_if!(
            first > self.first_asked.min(last + 1),
            "the log starts at LSN {first}, {} was asked for",
            self.first_asked
        );
        match self.record_of {
            Some((truncated, lsn)) if first >= truncated && last < lsn => Err(Violation(format!(
                "the log starts at LSN {first}, and the record {lsn} of that truncation is missing"
            ))),
            _ => Ok(()),
        }
    }

    /// Checks what an open says of the stop before it.
    ///
    /// # Errors
    /// It calls a log closed that never was, or durable what no sync has covered.
    pub(crate) fn check_report(&self, report: &wal_core::RecoveryReport) -> Result<(), Violation> {
        let (last, proven) = (report.last_lsn.get(), report.proven_lsn.get());
        let told = |what: &str| Err(Violation(format!("{what}: {report:?}")));
        if report.clean && last > 0 && !self.closes.contains(&last) {
            return told("called clean, and never closed there");
        }
        if proven > self.called_durable && !self.untrue {
            return told(&format!(
                "called proven, the log knew {} to be durable",
                self.called_durable
            ));
        }
        if !self.untrue
            && report.unproven > 0
            && proven + report.unproven != last
            && proven >= report.first_lsn.get()
        {
            return told("proven and unproven records do not add up");
        }
        if report.clean && (report.unproven > 0 || report.left_behind_bytes() > 0) {
            return told("clean, with a tail");
        }
        if report.records() != (last + 1).saturating_sub(report.first_lsn.get()) {
            return told("the count of records is another");
        }
        Ok(())
    }

    /// What an open has shown stays: the next records follow it.
    pub(crate) fn settle(&mut self, first: u64, last: u64) {
        if self.cut_asked == Some(last) {
            self.cut(last);
        }
        self.cut_asked = None;
        let taken = self
            .records
            .split_off(self.records.len().min(last as usize));
        let lsns = last + 1..;
        self.taken
            .extend(lsns.zip(taken.into_iter().map(|record| record.value)));
        self.acked = last;
        self.flushed = last;
        self.called_durable = last;
        self.first_acked = first;
        self.first_asked = first;
        self.record_of = None;
        self.closes.retain(|at| *at <= last);
    }

    /// An open was cut short: it may have proven all that it found.
    pub(crate) fn recovery_was_cut(&mut self) {
        self.called_durable = self.last();
    }
}

/// What the log lived through since it was last open; the later ones take more away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum After {
    /// The handle was dropped or closed.
    Drop,
    /// The process was killed, or gave up after an error.
    Kill,
    /// The machine lost power.
    PowerLoss,
}
