//! What the blocking and the async handle share: who is behind it, and what happens when the last one goes.

use wal_format::{Lsn, RecordRef, SegmentId, UnixMillis};

use crate::control::ControlState;
use crate::cursor::Lineage;
use crate::log::Engine;
use crate::position::Start;
use crate::reader::{self, RawReader, Source};
use crate::recovery::RecoveryReport;
use crate::replay::replay;
use crate::segment::Mark;
use crate::stats::Stats;
use crate::sync::Arc;
use crate::view::View;
use crate::{Error, Position, Result, Threads};

#[derive(Debug)]
enum Behind {
    Writer(Arc<Engine>),
    Reader(Arc<View>),
}

/// An open log. The last one to be dropped ends it.
#[derive(Debug)]
pub(crate) struct Handle {
    behind: Behind,
    report: RecoveryReport,
}

impl Handle {
    pub(crate) fn writer(engine: Arc<Engine>, report: RecoveryReport) -> Self {
        Self {
            behind: Behind::Writer(engine),
            report,
        }
    }

    pub(crate) fn reader(view: View) -> Self {
        let report = view.report().clone();
        Self {
            behind: Behind::Reader(Arc::new(view)),
            report,
        }
    }

    /// The engine, unless the handle is read-only or belongs to another process.
    #[inline]
    pub(crate) fn engine(&self) -> Result<&Arc<Engine>> {
        match &self.behind {
            Behind::Writer(engine) => {
                engine.check_process()?;
                Ok(engine)
            }
            Behind::Reader(_) => Err(Error::ReadOnly),
        }
    }

    /// Whether the caller may take locks. A fork of the opener must use what was found at open.
    fn is_ours(&self) -> bool {
        match &self.behind {
            Behind::Writer(engine) => engine.process.is_current(),
            Behind::Reader(view) => view.process.is_current(),
        }
    }

    pub(crate) fn check_process(&self) -> Result<()> {
        self.source().check_process()
    }

    fn source(&self) -> Source {
        match &self.behind {
            Behind::Writer(engine) => Source::Live(Arc::clone(engine)),
            Behind::Reader(view) => Source::View(Arc::clone(view)),
        }
    }

    pub(crate) fn report(&self) -> &RecoveryReport {
        &self.report
    }

    pub(crate) fn list_segments(&self) -> Result<Vec<SegmentId>> {
        self.check_process()?;
        if let Behind::Reader(view) = &self.behind {
            view.follow()?;
        }
        Ok(self.segments())
    }

    fn segments(&self) -> Vec<SegmentId> {
        let chain = self.source().chain();
        chain.iter().map(|entry| entry.header.segment_id).collect()
    }

    pub(crate) fn read_from(&self, start: Start) -> Result<RawReader> {
        RawReader::from(self.source(), start)
    }

    pub(crate) fn follow_from(&self, start: Start) -> Result<RawReader> {
        RawReader::follow_from(self.source(), start)
    }

    pub(crate) fn read_segment(&self, id: SegmentId) -> Result<RawReader> {
        self.check_process()?;
        if let Behind::Reader(view) = &self.behind
            && view
                .chain()
                .iter()
                .all(|entry| entry.header.segment_id != id)
        {
            view.follow()?;
        }
        RawReader::segment(self.source(), id)
    }

    pub(crate) fn lsn_at(&self, time: UnixMillis) -> Result<Lsn> {
        reader::lsn_at(&self.source(), time)
    }

    /// The last LSN that a replay reads, and who must flush before it.
    pub(crate) fn replay_end(&self) -> (Lsn, Option<&Arc<Engine>>) {
        match &self.behind {
            // The reader refuses when it starts to read.
            Behind::Writer(_) if !self.is_ours() => (Lsn::MAX, None),
            Behind::Writer(engine) => {
                let last = engine.last_lsn();
                (last, Some(engine).filter(|_| engine.unwritten_from(last)))
            }
            // As far as it goes.
            Behind::Reader(_) => (Lsn::MAX, None),
        }
    }

    pub(crate) fn replay<S: Send>(
        &self,
        start: Lsn,
        last: Lsn,
        threads: Threads,
        begin: impl Fn() -> S + Sync,
        each: impl Fn(&mut S, RecordRef<'_>, Position) + Sync,
    ) -> Result<Vec<S>> {
        replay(&self.source(), start, last, threads, begin, each)
    }

    /// Where the log ends now, and the highest LSN known to be durable. If the files cannot be read, the last known values.
    fn looked(view: &View) -> (Mark, Lsn) {
        let _ = view.follow();
        view.known()
    }

    pub(crate) fn current_position(&self) -> Position {
        match &self.behind {
            _ if !self.is_ours() => Position {
                lsn: self.report.last_lsn.next(),
                segment_id: SegmentId::NONE,
                offset: 0.into(),
            },
            Behind::Writer(engine) => engine.next_position(),
            Behind::Reader(view) => {
                let (end, _) = Self::looked(view);
                Position {
                    lsn: end.lsn.next(),
                    segment_id: end.segment,
                    offset: end.offset.into(),
                }
            }
        }
    }

    pub(crate) fn durable_lsn(&self) -> Lsn {
        match &self.behind {
            Behind::Writer(engine) => engine.durable_lsn(),
            Behind::Reader(_) if !self.is_ours() => self.report.proven_lsn,
            Behind::Reader(view) => Self::looked(view).1,
        }
    }

    pub(crate) fn first_lsn(&self) -> Lsn {
        match &self.behind {
            _ if !self.is_ours() => self.report.first_lsn,
            Behind::Writer(engine) => engine.first_lsn(),
            Behind::Reader(view) => {
                let _ = Self::looked(view);
                view.first_lsn()
            }
        }
    }

    pub(crate) fn last_lsn(&self) -> Lsn {
        match &self.behind {
            _ if !self.is_ours() => self.report.last_lsn,
            Behind::Writer(engine) => engine.last_lsn(),
            Behind::Reader(view) => Self::looked(view).0.lsn,
        }
    }

    /// What is known of the log now, for cursors.
    pub(crate) fn lineage(&self) -> Result<Lineage> {
        self.check_process()?;
        match &self.behind {
            Behind::Writer(engine) => Ok(engine.lineage()),
            Behind::Reader(view) => {
                view.follow()?;
                Ok(view.lineage())
            }
        }
    }

    /// The control state.
    pub(crate) fn control(&self) -> Result<ControlState> {
        self.check_process()?;
        match &self.behind {
            Behind::Writer(engine) => engine.control(),
            Behind::Reader(view) => view.control(),
        }
    }

    /// The record limit of the newest segment, or of the next one.
    pub(crate) fn record_limit(&self) -> u64 {
        match &self.behind {
            Behind::Writer(engine) => engine.settings.record_limit,
            Behind::Reader(_) if !self.is_ours() => 0,
            Behind::Reader(view) => view
                .chain()
                .last()
                .map_or(0, |entry| entry.header.record_limit),
        }
    }

    /// The length of new segments, or that of which the newest segment says so.
    pub(crate) fn segment_size(&self) -> u64 {
        match &self.behind {
            Behind::Writer(engine) => engine.settings.config.max_segment_size,
            Behind::Reader(_) if !self.is_ours() => 0,
            Behind::Reader(view) => view
                .chain()
                .last()
                .map_or(0, |entry| entry.header.log_capacity),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        if !self.is_ours() {
            return Stats {
                first_lsn: self.first_lsn(),
                last_lsn: self.last_lsn(),
                durable_lsn: self.durable_lsn(),
                ..Stats::default()
            };
        }
        match &self.behind {
            Behind::Writer(engine) => engine.stats(),
            Behind::Reader(view) => {
                let (end, durable_lsn) = Self::looked(view);
                Stats {
                    segments: self.segments().len() as u64,
                    first_lsn: view.first_lsn(),
                    last_lsn: end.lsn,
                    durable_lsn,
                    ..Stats::default()
                }
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // A fork's copy of the handle must not end the opener's log.
        if let Behind::Writer(engine) = &self.behind
            && engine.process.is_current()
        {
            engine.abandon();
        }
    }
}
