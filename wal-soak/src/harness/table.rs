//! The table: each promise with its bound, the worst that was seen, and where.

use std::fmt;

use super::report::{Measured, badness};

/// How a row's numbers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// As they are.
    Count,
    /// In MiB.
    Bytes,
    /// Milliseconds; measured in microseconds.
    Time,
}

impl Unit {
    fn show(self, value: u64) -> String {
        match self {
            Self::Count => value.to_string(),
            Self::Bytes => format!("{} MiB", tenths(value, 1 << 20)),
            Self::Time => format!("{} ms", tenths(value, 1000)),
        }
    }
}

/// `value` in units of `unit`, with one digit after the point.
fn tenths(value: u64, unit: u64) -> String {
    format!("{}.{}", value / unit, value % unit * 10 / unit)
}

/// A row: a promise, or something that is counted.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What measurements of it are called.
    pub key: &'static str,
    /// The promise, in the words of the README.
    pub promise: &'static str,
    /// How its numbers are shown.
    pub unit: Unit,
}

impl Row {
    /// A row of these three.
    #[must_use]
    pub const fn new(key: &'static str, unit: Unit, promise: &'static str) -> Self {
        Self { key, promise, unit }
    }
}

#[derive(Clone, Debug)]
struct Worst {
    measured: Measured,
    place: String,
}

impl Worst {
    fn badness(measured: &Measured) -> u128 {
        badness(measured.value, measured.limit)
    }
}

/// All rows, with what was seen.
#[derive(Debug)]
pub struct Table {
    rows: Vec<(Row, Option<Worst>)>,
    violations: Vec<String>,
    /// The key and the place of each.
    known: Vec<(String, String)>,
}

impl Table {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(rows: &[Row]) -> Self {
        Self {
            rows: rows.iter().map(|row| (*row, None)).collect(),
            violations: Vec::new(),
            known: Vec::new(),
        }
    }

    /// Takes a measurement. Returns a violation, if it is one; of several in one place, the first.
    pub fn take(&mut self, measured: &Measured, place: &str) -> Option<String> {
        let Some((row, worst)) = self.row(&measured.key) else {
            let text = format!("{} is measured and has no row", measured.key);
            return Some(self.broken(&text, place));
        };
        let row = *row;
        let is_worse = |known: &Worst| Worst::badness(measured) > Worst::badness(&known.measured);
        if worst.as_ref().is_none_or(is_worse) {
            let place = place.to_owned();
            *worst = Some(Worst {
                measured: measured.clone(),
                place,
            });
        }
        let limit = measured.limit.filter(|limit| measured.value > *limit)?;
        let known = (measured.key.clone(), place.to_owned());
        if self.known.contains(&known) {
            return None;
        }
        self.known.push(known);
        let (value, limit) = (row.unit.show(measured.value), row.unit.show(limit));
        let text = format!(
            "{}: {value}, the bound is {limit}{}",
            row.promise,
            note(measured)
        );
        Some(self.broken(&text, place))
    }

    /// Adds to what a row counts.
    pub fn count(&mut self, key: &str, by: u64, place: &str) -> Option<String> {
        let before = self.row(key).and_then(|(_, worst)| worst.as_ref());
        let before = before.map_or(0, |worst| worst.measured.value);
        let measured = Measured {
            key: key.to_owned(),
            value: before + by,
            limit: None,
            note: String::new(),
        };
        self.take(&measured, place)
    }

    /// Notes a promise that was broken.
    pub fn broken(&mut self, text: &str, place: &str) -> String {
        let text = format!("{text}; {place}");
        self.violations.push(text.clone());
        text
    }

    /// What has been broken so far.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    fn row(&mut self, key: &str) -> Option<&mut (Row, Option<Worst>)> {
        self.rows.iter_mut().find(|(row, _)| row.key == key)
    }
}

fn note(measured: &Measured) -> String {
    if measured.note.is_empty() {
        return String::new();
    }
    format!(" ({})", measured.note)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("| promise | bound | worst | where |\n|---|---:|---:|---|\n")?;
        for (row, worst) in &self.rows {
            let Some(Worst { measured, place }) = worst else {
                writeln!(f, "| {} | | not seen | |", row.promise)?;
                continue;
            };
            let limit = measured
                .limit
                .map_or(String::from("-"), |limit| row.unit.show(limit));
            let (value, note) = (row.unit.show(measured.value), note(measured));
            writeln!(f, "| {} | {limit} | {value}{note} | {place} |", row.promise)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [Row; 2] = [
        Row::new("disk", Unit::Bytes, "bytes on disk"),
        Row::new("kills", Unit::Count, "kills"),
    ];

    fn measured(value: u64, limit: u64) -> Measured {
        Measured {
            key: "disk".into(),
            value,
            limit: Some(limit),
            note: String::new(),
        }
    }

    #[test]
    fn the_worst_is_what_comes_nearest_to_its_own_bound() {
        let mut table = Table::new(&ROWS);
        assert_eq!(table.take(&measured(90 << 20, 100 << 20), "life 1"), None);
        assert_eq!(table.take(&measured(500 << 20, 1000 << 20), "life 2"), None);
        let text = table.to_string();
        assert!(
            text.contains("| bytes on disk | 100.0 MiB | 90.0 MiB | life 1 |"),
            "{text}"
        );
        assert!(text.contains("| kills | | not seen | |"), "{text}");
    }

    #[test]
    fn a_number_above_its_bound_is_a_violation_and_one_at_its_bound_is_none() {
        let mut table = Table::new(&ROWS);
        assert_eq!(table.take(&measured(7, 7), "life 1"), None);
        let told = table
            .take(&measured(8 << 20, 7 << 20), "life 2")
            .expect("a violation");
        assert_eq!(told, "bytes on disk: 8.0 MiB, the bound is 7.0 MiB; life 2");
        // The same bound in the same place is no news; the table has the worst.
        assert_eq!(table.take(&measured(9 << 20, 7 << 20), "life 2"), None);
        assert_eq!(table.violations(), [told]);
        assert!(table.to_string().contains("| 9.0 MiB |"));
    }

    #[test]
    fn what_is_counted_adds_up() {
        let mut table = Table::new(&ROWS);
        assert_eq!(table.count("kills", 2, "life 1"), None);
        assert_eq!(table.count("kills", 3, "life 2"), None);
        assert!(table.to_string().contains("| kills | - | 5 | life 2 |"));
    }

    #[test]
    fn a_measurement_without_a_row_is_not_passed_over() {
        let mut table = Table::new(&ROWS);
        assert!(table.count("kill", 1, "life 1").is_some());
    }
}
