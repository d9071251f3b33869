//! Rows as columns of text: a column stands only where a row has something to say in it.

use std::fmt;

use crate::figures::Role;
use crate::figures::{Ratio, Summary};
use crate::row::Row;
use crate::turn::Measure;

/// Writes `rows`, those of one measure together.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    for rows in rows.chunk_by(|one, next| one.measure == next.measure) {
        figures(f, rows)?;
        by_peer(f, rows)?;
    }
    Ok(())
}

fn figures(f: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    let measure = rows.first().map_or("", |row| row.measure.title());
    let mut columns = vec![
        Column::left("case", rows, |row| row.case.clone()),
        Column::left("", rows, |row| row.contender.clone()),
        Column::right(measure, rows, |row| {
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
    columns.push(Column::right("written", rows, |row| {
        let is_main = row.measure == Measure::BytesPerByte;
        median(row.bytes_per_byte.filter(|_| !is_main), |value| {
            format!("{value:.3}")
        })
    }));
    columns.push(Column::right("peak MiB", rows, |row| {
        let is_main = row.measure == Measure::Mebibytes;
        median(row.peak_mib.filter(|_| !is_main), short)
    }));
    for other in others(rows, |ratio| ratio.role != Role::Peer) {
        columns.push(Column::right(&format!("x {other}"), rows, |row| {
            ratio(row, other).map_or_else(String::new, |ratio| spread(&ratio.main, times))
        }));
        // Where calls wait for the disk.
        let waits = |row: &&Row| row.syncs_per_second.is_some_and(|syncs| syncs.median > 0.0);
        columns.push(Column::right(&format!("p50 x {other}"), rows, |row| {
            let ratio = ratio(row, other).filter(|_| rows.iter().any(|row| waits(&row)));
            ratio
                .and_then(|ratio| ratio.p50.as_ref())
                .map_or_else(String::new, |p50| spread(p50, times))
        }));
    }
    columns.push(Column::left("note", rows, |row| {
        row.note.clone().unwrap_or_default()
    }));
    lines(f, columns, rows.len())
}

/// The log divided by each peer, as a table of its own: there may be many.
fn by_peer(f: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    let peers = others(rows, |ratio| ratio.role == Role::Peer);
    if peers.is_empty() {
        return Ok(());
    }
    let own = |row: &&Row| row.ratios.iter().any(|ratio| ratio.role == Role::Peer);
    let rows: Vec<Row> = rows.iter().filter(own).cloned().collect();
    let mut columns = vec![
        Column::left("divided by the peer", &rows, |row| row.case.clone()),
        Column::left("", &rows, |row| row.contender.clone()),
    ];
    for peer in peers {
        columns.push(Column::right(peer, &rows, |row| {
            ratio(row, peer).map_or_else(String::new, |ratio| spread(&ratio.main, times))
        }));
    }
    lines(f, columns, rows.len())
}

fn lines(f: &mut fmt::Formatter<'_>, mut columns: Vec<Column>, rows: usize) -> fmt::Result {
    columns.retain(|column| column.cells.iter().any(|cell| !cell.is_empty()));
    merge_cases(&mut columns);
    for line in 0..=rows {
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

/// Those of the rows' ratios that are `wanted`, each once, in the order of the rows.
fn others(rows: &[Row], wanted: impl Fn(&Ratio) -> bool) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    let ratios = rows.iter().flat_map(|row| &row.ratios);
    for ratio in ratios.filter(|ratio| wanted(ratio)) {
        if !names.contains(&ratio.to.as_str()) {
            names.push(&ratio.to);
        }
    }
    names
}

fn ratio<'a>(row: &'a Row, limit: &str) -> Option<&'a Ratio> {
    row.ratios.iter().find(|ratio| ratio.to == limit)
}

fn figure(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Milliseconds => format!("{value:.2}"),
        Measure::BytesPerByte | Measure::CallsPerGroup => format!("{value:.3}"),
        _ => short(value),
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
