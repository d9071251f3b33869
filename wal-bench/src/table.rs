//! Rows as columns of text: a column stands only where a row has something to say in it.

use std::fmt;

use crate::figures::{Ratio, Summary};
use crate::report::{Measure, Row};

/// Writes `rows`, which have one measure.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    let mut columns = vec![
        Column::left("case", rows, |row| row.case.clone()),
        Column::left("", rows, |row| row.contender.clone()),
        Column::right(main_title(rows), rows, |row| {
            spread(&row.summary, |value| figure(row.measure, value))
        }),
        Column::right("MiB/s", rows, |row| median(row.mib_per_second, short)),
    ];
    for (title, part) in LATENCIES {
        columns.push(Column::right(title, rows, |row| {
            row.latency
                .map_or_else(String::new, |latency| short(part(&latency)))
        }));
    }
    columns.push(Column::right("cpu us", rows, |row| {
        median(row.cpu_micros, |value| format!("{value:.3}"))
    }));
    columns.push(Column::right("syncs/s", rows, |row| {
        median(row.syncs_per_second, short)
    }));
    for limit in limits(rows) {
        columns.push(Column::right(&format!("x {limit}"), rows, |row| {
            ratio(row, limit).map_or_else(String::new, |ratio| spread(&ratio.main, times))
        }));
        columns.push(Column::right(&format!("p50 x {limit}"), rows, |row| {
            let p50 = ratio(row, limit).and_then(|ratio| ratio.p50.as_ref());
            p50.map_or_else(String::new, |p50| spread(p50, times))
        }));
    }
    columns.push(Column::left("note", rows, |row| {
        row.note.clone().unwrap_or_default()
    }));
    columns.retain(|column| column.cells.iter().any(|cell| !cell.is_empty()));
    merge_cases(&mut columns);
    for line in 0..=rows.len() {
        let cells: Vec<String> = columns.iter().map(|column| column.at(line)).collect();
        writeln!(f, "  {}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

type Part = fn(&crate::Latency) -> f64;
const LATENCIES: [(&str, Part); 4] = [
    ("p50 us", |latency| latency.p50),
    ("p99", |latency| latency.p99),
    ("p99.9", |latency| latency.p999),
    ("max", |latency| latency.max),
];

struct Column {
    title: String,
    cells: Vec<String>,
    is_left: bool,
}

impl Column {
    fn left(title: &str, rows: &[Row], cell: impl Fn(&Row) -> String) -> Self {
        Self {
            title: title.to_owned(),
            cells: rows.iter().map(cell).collect(),
            is_left: true,
        }
    }

    fn right(title: &str, rows: &[Row], cell: impl Fn(&Row) -> String) -> Self {
        Self {
            is_left: false,
            ..Self::left(title, rows, cell)
        }
    }

    /// A line of the column, filled up with spaces; the first one is the title.
    fn at(&self, line: usize) -> String {
        let lines = || std::iter::once(&self.title).chain(&self.cells);
        let width = lines().map(|cell| cell.chars().count()).max().unwrap_or(0);
        let cell = lines().nth(line).map_or("", String::as_str);
        if self.is_left {
            format!("{cell:<width$}")
        } else {
            format!("{cell:>width$}")
        }
    }
}

/// A case is named once.
fn merge_cases(columns: &mut [Column]) {
    let Some(cases) = columns.first_mut() else {
        return;
    };
    for at in (1..cases.cells.len()).rev() {
        if cases.cells[at] == cases.cells[at - 1] {
            cases.cells[at].clear();
        }
    }
}

/// The limits, in the order of their rows.
fn limits(rows: &[Row]) -> Vec<&str> {
    let mut limits: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.is_limit) {
        if !limits.contains(&row.contender.as_str()) {
            limits.push(&row.contender);
        }
    }
    limits
}

fn ratio<'a>(row: &'a Row, limit: &str) -> Option<&'a Ratio> {
    row.ratios.iter().find(|ratio| ratio.to == limit)
}

fn main_title(rows: &[Row]) -> &'static str {
    match rows.first().map(|row| row.measure) {
        Some(Measure::Milliseconds) => "ms",
        _ => "records/s",
    }
}

fn figure(measure: Measure, value: f64) -> String {
    match measure {
        Measure::RecordsPerSecond => short(value),
        Measure::Milliseconds => format!("{value:.2}"),
    }
}

/// Three digits, and k or M.
pub(crate) fn short(value: f64) -> String {
    let (value, unit) = if value >= 999_500.0 {
        (value / 1e6, "M")
    } else if value >= 9_995.0 {
        (value / 1e3, "k")
    } else {
        (value, "")
    };
    let digits = match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{unit}")
}

fn times(value: f64) -> String {
    format!("{value:.2}")
}

fn spread(summary: &Summary, show: impl Fn(f64) -> String) -> String {
    let [median, low, high] = [summary.median, summary.low, summary.high].map(show);
    format!("{median} ({low}-{high})")
}

fn median(summary: Option<Summary>, show: impl Fn(f64) -> String) -> String {
    summary.map_or_else(String::new, |summary| show(summary.median))
}
