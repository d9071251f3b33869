//! An earlier report beside a new one: what has become slower, and by more than noise explains.
//!
//! What is compared is how close the log runs to its limits, not how fast the machine was that day:
//!
//! 1. A row of the log with ratios to hand-written limits is judged by those. It is worse if it is worse against each of them.
//! 2. Else by its ratios to another way of the log (without rotation, without compression, with one thread).
//! 3. Else by its own figure, if both ran on the same machine and file system. A time without anything beside it moves with the
//!    machine: it is worse where it is twice as long.
//!
//! Two figures differ if their medians are further apart than the turns of both runs are among themselves (the distance between
//! the quartiles of the one and of the other, added up), and by at least the margin. Rows of limits and peers are not judged,
//! nor rows that one of the reports does not have. The turns of one run do not tell how the machine drifts from one run to the
//! next, so the program measures the workloads with worse rows once more: what is not worse again was noise.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::figures::Role;
use crate::figures::Summary;
use crate::report::{Report, SCHEMA};
use crate::row::Row;
use crate::turn::Measure;

/// Of the lower median, for ratios and for figures that no clock has part in.
const MARGIN: f64 = 0.05;
/// Of the lower median, for times without anything beside them: twice as long.
const MARGIN_OF_TIMES: f64 = 1.0;

/// What a new figure is beside an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that noise does not explain.
    Same,
    /// Better than before.
    Better,
    /// Worse than before.
    Worse,
}

/// Judges two figures; `margin` is a part of the lower median.
#[must_use]
pub fn judge(old: &Summary, new: &Summary, more_is_better: bool, margin: f64) -> Verdict {
    let difference = new.median - old.median;
    let noise = old.spread() + new.spread();
    let lower = old.median.abs().min(new.median.abs());
    if difference.abs() <= noise || difference.abs() < margin * lower {
        Verdict::Same
    } else if (difference > 0.0) == more_is_better {
        Verdict::Better
    } else {
        Verdict::Worse
    }
}

/// One figure that was judged.
#[derive(Clone, Debug, PartialEq)]
struct Pair {
    /// What it is divided by.
    to: Option<String>,
    old: Summary,
    new: Summary,
    verdict: Verdict,
}

/// A row that is no longer what it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Whose row it is.
    pub workload: String,
    /// Case and contender.
    pub row: String,
    /// Never [`Verdict::Same`].
    pub verdict: Verdict,
    pairs: Vec<Pair>,
}

/// What comparing came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Rows that were judged.
    pub rows: usize,
    /// Those that have changed.
    pub changes: Vec<Change>,
}

impl Comparison {
    /// Whether something has become worse.
    #[must_use]
    pub fn has_regressed(&self) -> bool {
        self.changes
            .iter()
            .any(|change| change.verdict == Verdict::Worse)
    }

    /// The workloads in which something has become worse.
    #[must_use]
    pub fn worse_workloads(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for Change {
            workload, verdict, ..
        } in &self.changes
        {
            if *verdict == Verdict::Worse && !names.contains(workload) {
                names.push(workload.clone());
            }
        }
        names
    }

    /// Without the rows that are worse here but not in `again`, which is another run beside the same old report.
    #[must_use]
    pub fn confirmed_by(mut self, again: &Self) -> Self {
        self.changes.retain(|change| {
            let is_it = |other: &Change| {
                (&other.workload, &other.row, other.verdict)
                    == (&change.workload, &change.row, change.verdict)
            };
            change.verdict != Verdict::Worse || again.changes.iter().any(is_it)
        });
        self
    }
}

/// Compares two reports.
///
/// # Errors
/// They are not of the same size.
pub fn compare(old: &Report, new: &Report) -> anyhow::Result<Comparison> {
    ensure!(
        old.size == new.size,
        "the old report is of size {:?}, this run of size {:?}: their rows mean different work",
        old.size,
        new.size
    );
    let same_host = old.host == new.host;
    let mut comparison = Comparison::default();
    for section in &new.sections {
        let before = old
            .sections
            .iter()
            .find(|other| other.workload == section.workload);
        let before = before.map_or(&[][..], |section| &section.rows);
        for row in section.rows.iter().filter(|row| row.role == Role::Log) {
            let is_it = |other: &&Row| {
                (&other.case, &other.contender, other.measure)
                    == (&row.case, &row.contender, row.measure)
            };
            let Some(before) = before.iter().find(is_it) else {
                continue;
            };
            let pairs = pairs(before, row, same_host);
            let Some(first) = pairs.first().map(|pair| pair.verdict) else {
                continue;
            };
            comparison.rows += 1;
            if first != Verdict::Same && pairs.iter().all(|pair| pair.verdict == first) {
                comparison.changes.push(Change {
                    workload: section.workload.clone(),
                    row: format!("{}, {}", row.case, row.contender),
                    verdict: first,
                    pairs,
                });
            }
        }
    }
    Ok(comparison)
}

/// What a row is judged by.
fn pairs(old: &Row, new: &Row, same_host: bool) -> Vec<Pair> {
    let more_is_better = new.measure.more_is_better();
    let pair = |to: Option<&String>, old: &Summary, new: &Summary, margin| Pair {
        to: to.cloned(),
        old: *old,
        new: *new,
        verdict: judge(old, new, more_is_better, margin),
    };
    for role in [Role::Limit, Role::Log] {
        let ratios = new.ratios.iter().filter(|ratio| ratio.role == role);
        let found = ratios.filter_map(|ratio| {
            let before = old
                .ratios
                .iter()
                .find(|other| (&other.to, other.role) == (&ratio.to, role))?;
            Some(pair(Some(&ratio.to), &before.main, &ratio.main, MARGIN))
        });
        let found: Vec<Pair> = found.collect();
        if !found.is_empty() {
            return found;
        }
    }
    let is_time = !matches!(
        new.measure,
        Measure::BytesPerByte | Measure::Mebibytes | Measure::CallsPerGroup
    );
    let margin = if is_time { MARGIN_OF_TIMES } else { MARGIN };
    let own = same_host.then(|| pair(None, &old.summary, &new.summary, margin));
    own.into_iter().collect()
}

/// Reads a report.
///
/// # Errors
/// It cannot be read, or is of another schema.
pub fn read(path: &Path) -> anyhow::Result<Report> {
    let reading = || format!("reading the report {}", path.display());
    let text = std::fs::read_to_string(path).with_context(reading)?;
    parse(&text).with_context(reading)
}

/// The report in `text`.
///
/// # Errors
/// It is no report, or one of another schema.
pub fn parse(text: &str) -> anyhow::Result<Report> {
    let value: Value = serde_json::from_str(text)?;
    let schema = &value["schema"];
    ensure!(
        schema.as_u64() == Some(u64::from(SCHEMA)),
        "its schema is {schema}, this program reads schema {SCHEMA} only: make the old report with this program"
    );
    Ok(serde_json::from_value(value)?)
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |verdict| {
            self.changes
                .iter()
                .filter(|change| change.verdict == verdict)
                .count()
        };
        writeln!(
            f,
            "beside the old report: {} rows compared, {} worse, {} better",
            self.rows,
            count(Verdict::Worse),
            count(Verdict::Better)
        )?;
        for change in &self.changes {
            let word = match change.verdict {
                Verdict::Worse => "WORSE",
                Verdict::Better | Verdict::Same => "better",
            };
            writeln!(f, "  {word:<6}  {}, {}", change.workload, change.row)?;
            for Pair { to, old, new, .. } in &change.pairs {
                let what = to
                    .as_ref()
                    .map_or_else(|| "itself".to_owned(), |to| format!("x {to}"));
                writeln!(
                    f,
                    "          {what}: {:.3} ({:.3}-{:.3}), was {:.3} ({:.3}-{:.3})",
                    new.median, new.low, new.high, old.median, old.low, old.high
                )?;
            }
        }
        Ok(())
    }
}
