//! `--ack`: each record's LSN on standard output, once the record is durable.
//!
//! Under `always` an append returns when its record is durable, so the LSN is printed right then. Under the other policies
//! a thread follows the durable LSN. It only looks: waiting for a record would start a sync, and the policy says when to sync.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::{FsyncPolicy, Lsn};

use crate::output::{Exit, Failure};

/// Between two looks at the durable LSN while a batch waits for its sync.
const LOOK_BATCH: Duration = Duration::from_millis(1);
/// The same under `os`, where only a rotation or the end brings a sync.
const LOOK_OS: Duration = Duration::from_millis(10);
/// Bytes printed at a time when many records become durable at once.
const PIECE: usize = 64 << 10;

/// Who prints acknowledgements.
#[derive(Debug)]
pub(crate) enum Acks {
    /// Nobody: they were not asked for, or their reader went away.
    Off,
    /// The caller, after each append.
    Inline(Printer),
    /// A thread of its own.
    Follower(Follower),
}

impl Acks {
    pub(crate) fn start(wal: &Wal, policy: FsyncPolicy) -> Result<Self, Failure> {
        let printer = Printer {
            printed: wal.last_lsn(),
            text: String::new(),
        };
        let look = match policy {
            FsyncPolicy::Always => return Ok(Self::Inline(printer)),
            FsyncPolicy::Batch(_) => LOOK_BATCH,
            _ => LOOK_OS,
        };
        Follower::start(wal.clone(), printer, look).map(Self::Follower)
    }

    /// A record was appended.
    pub(crate) fn appended(&mut self, lsn: Lsn) -> Result<(), Failure> {
        let outcome = match self {
            Self::Off => return Ok(()),
            Self::Inline(printer) => printer.print_up_to(lsn).map_err(|e| Failure::output(&e)),
            Self::Follower(follower) if follower.thread.is_finished() => {
                let Self::Follower(follower) = std::mem::replace(self, Self::Off) else {
                    return Ok(());
                };
                follower.finish()
            }
            Self::Follower(follower) => {
                follower.wake_if_idle();
                return Ok(());
            }
        };
        self.tolerate(outcome)
    }

    /// The log is closed: prints the rest.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let Self::Follower(follower) = std::mem::replace(&mut self, Self::Off) else {
            return Ok(());
        };
        let outcome = follower.finish();
        self.tolerate(outcome)
    }

    /// Without a reader for them there are no more acknowledgements, but the lines still go to the log.
    fn tolerate(&mut self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        match outcome {
            Err(failure) if failure.is_broken_pipe() => {
                *self = Self::Off;
                Ok(())
            }
            outcome => outcome,
        }
    }
}

/// Prints LSNs in order, each once.
#[derive(Debug)]
pub(crate) struct Printer {
    printed: Lsn,
    /// Emptied before each use.
    text: String,
}

impl Printer {
    fn print_up_to(&mut self, lsn: Lsn) -> io::Result<()> {
        while self.printed < lsn {
            self.text.clear();
            while self.printed < lsn && self.text.len() < PIECE {
                self.printed = self.printed.next();
                // A string takes whatever is written to it.
                let _ = writeln!(self.text, "{}", self.printed);
            }
            let mut out = io::stdout().lock();
            out.write_all(self.text.as_bytes())?;
            out.flush()?;
        }
        Ok(())
    }
}

/// The thread that follows the durable LSN.
#[derive(Debug)]
pub(crate) struct Follower {
    thread: JoinHandle<io::Result<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// All that was appended is printed: the thread sleeps until it is told of more.
    idle: AtomicBool,
    /// The log is closed.
    ending: AtomicBool,
}

impl Follower {
    fn start(wal: Wal, mut printer: Printer, look: Duration) -> Result<Self, Failure> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("wal-acks".into())
            .spawn(move || follow(&wal, &mut printer, &theirs, look))
            .map_err(|error| Failure::new(Exit::CouldNot, format!("starting a thread: {error}")))?;
        Ok(Self { thread, shared })
    }

    fn wake_if_idle(&self) {
        if self.shared.idle.load(Ordering::SeqCst) && self.shared.idle.swap(false, Ordering::SeqCst)
        {
            self.thread.thread().unpark();
        }
    }

    fn finish(self) -> Result<(), Failure> {
        self.shared.ending.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        let outcome = self.thread.join().unwrap_or_else(|_| {
            Err(io::Error::other(
                "the thread of the acknowledgements panicked",
            ))
        });
        outcome.map_err(|error| Failure::output(&error))
    }
}

fn follow(wal: &Wal, printer: &mut Printer, shared: &Shared, look: Duration) -> io::Result<()> {
    loop {
        // Before the watermark is read, so that the last look sees the last sync.
        let ending = shared.ending.load(Ordering::SeqCst);
        printer.print_up_to(wal.durable_lsn())?;
        if ending {
            return Ok(());
        }
        shared.idle.store(true, Ordering::SeqCst);
        // An append between the two is seen here, or has taken `idle` back and left a wake-up behind.
        if wal.last_lsn() > printer.printed {
            shared.idle.store(false, Ordering::SeqCst);
            thread::park_timeout(look);
        } else {
            thread::park();
        }
    }
}
