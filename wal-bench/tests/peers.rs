//! Peers take part where they offer what is asked, and the log is divided by each.

#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use wal_bench::limits::{Chunks, Prewritten, RawChunk, RawDirect};
use wal_bench::peer::{Entrant, Field, Peer, PeerLog, Reached};
use wal_bench::{Options, Report, Role, Row, run_with};

/// A log made of the limits.
#[derive(Debug)]
struct Toy {
    can_sync: bool,
    can_replay: bool,
}

impl Peer for Toy {
    fn create(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerLog>>> {
        Ok(match reached {
            Reached::Buffered => Some(Box::new(Buffered(Mutex::new(RawChunk::create(dir)?)))),
            Reached::Durable if self.can_sync => {
                let file = Prewritten::create(dir, "file", 1 << 20)?;
                Some(Box::new(Durable(RawDirect::new(file))))
            }
            Reached::Durable => None,
        })
    }

    fn replay(&self, dir: &Path, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<Option<()>> {
        if !self.can_replay {
            return Ok(None);
        }
        let mut chunks = Chunks::open(dir)?;
        while let Some(payload) = chunks.next_payload()? {
            each(payload);
        }
        Ok(Some(()))
    }
}

struct Buffered(Mutex<RawChunk>);

impl PeerLog for Buffered {
    fn append(&self, payload: &[u8]) -> anyhow::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(file.append(payload)?)
    }

    fn append_batch(&self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        payloads.iter().try_for_each(|payload| self.append(payload))
    }

    fn flush(&self) -> anyhow::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(file.flush()?)
    }
}

struct Durable(RawDirect);

impl PeerLog for Durable {
    fn append(&self, payload: &[u8]) -> anyhow::Result<()> {
        Ok(self.0.append(payload)?)
    }

    fn append_batch(&self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        Ok(self.0.append_batch(payloads.iter().copied())?)
    }
}

/// A quick run of `workload` with two toys: one that does all, one that only buffers.
fn run(workload: &str) -> (Report, Vec<Row>) {
    let dir = tempfile::tempdir().expect("a directory");
    let toy = |name, able| Entrant::<dyn Peer> {
        name,
        version: "1.2.3",
        peer: Box::new(Toy {
            can_sync: able,
            can_replay: able,
        }),
    };
    let field = Field {
        logs: vec![toy("able", true), toy("buffer", false)],
        stores: Vec::new(),
    };
    let options = Options {
        dir: Some(dir.path().to_owned()),
        only: vec![workload.to_owned()],
        quick: true,
        ..Options::default()
    };
    let report = run_with(&options, &field, &|_| {}).expect("a report");
    assert_eq!(report.sections[0].left_out, [""; 0]);
    let rows = report.sections[0].rows.clone();
    (report, rows)
}

/// The cases of a peer's rows, each of which has the version.
fn cases<'a>(rows: &'a [Row], peer: &str) -> Vec<&'a str> {
    let own = rows
        .iter()
        .filter(|row| row.role == Role::Peer && row.contender == peer);
    own.map(|row| {
        assert_eq!(row.version.as_deref(), Some("1.2.3"));
        row.case.as_str()
    })
    .collect()
}

/// What the log's row of the case is divided by.
fn divisors<'a>(rows: &'a [Row], case: &str, contender: &str) -> Vec<&'a str> {
    let row = rows
        .iter()
        .find(|row| row.case == case && row.contender == contender);
    let ratios = &row.expect("a row of the log").ratios;
    ratios.iter().map(|ratio| ratio.to.as_str()).collect()
}

#[test]
fn both_append_buffered() {
    let (report, rows) = run("append-buffered");
    for peer in ["able", "buffer"] {
        assert_eq!(
            cases(&rows, peer).len(),
            3 * 2,
            "three lengths, 1 and 8 writers"
        );
    }
    let own = divisors(&rows, "1 KiB, 1 writer", "blocking, Os");
    assert_eq!(own, ["raw-chunk", "able", "buffer"]);
    let table = report.to_string();
    assert!(
        table.contains("peers: able 1.2.3, buffer 1.2.3\n"),
        "{table}"
    );
    assert!(table.contains("divided by the peer"), "{table}");
}

#[test]
fn only_who_syncs_appends_durable() {
    let (_, rows) = run("append-durable");
    assert!(cases(&rows, "able").contains(&"1 KiB, 32 writers"));
    assert_eq!(cases(&rows, "buffer"), [""; 0]);
    let own = divisors(&rows, "1 KiB, 8 writers", "blocking, threads");
    assert_eq!(own, ["raw-lock", "raw-group", "able"]);
    let (_, rows) = run("batch-durable");
    assert_eq!(
        cases(&rows, "able"),
        ["10 records", "100 records", "1000 records"]
    );
    assert_eq!(cases(&rows, "buffer"), [""; 0]);
}

#[test]
fn only_who_can_be_read_is_replayed() {
    let (_, rows) = run("replay");
    assert_eq!(cases(&rows, "able"), ["256 KiB of 1 KiB, opened"]);
    assert_eq!(cases(&rows, "buffer"), [""; 0]);
    let own = divisors(&rows, "256 KiB of 1 KiB, opened", "blocking");
    assert_eq!(own, ["raw-chunk", "able"]);
}
