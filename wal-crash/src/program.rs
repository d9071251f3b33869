//! What a run does. A program is data: it can be printed, made smaller, and run again. Absent: where programs come from (see
//! `random`) and their text (see `text`).

use std::time::Duration;

use wal_core::{Alignment, WalConfig};
use wal_io::fault::{Background, FaultConfig, Moment, OperationKind, SystemError};

/// The log's settings and the machine's rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// The rules of the simulated machine.
    pub machine: FaultConfig,
    /// The log's configuration.
    pub config: WalConfig,
    /// Bytes of one buffer.
    pub buffer: usize,
    /// Sector padding, if any.
    pub padding: Option<Alignment>,
    /// The versions of its segments.
    pub format: Format,
}

/// In which versions of the format a log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Version 1.
    #[default]
    One,
    /// Version 2.
    Two,
    /// Version 1 in its first life, then version 2: asked for in each second life, and kept in the others.
    Upgraded,
}

/// Which handle a reader belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eye {
    /// A clone of the writing one.
    Writer,
    /// A read-only one beside the writer.
    Other,
}

/// What somebody does to the log's directory while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    /// Moves it to another name.
    Move,
    /// Moves it, and opens another log at the old path.
    Replace,
    /// Deletes it and all that is in it.
    RemoveDirectory,
    /// Deletes the file that takes the records.
    RemoveNewest,
    /// Deletes the lock's file, and opens for writing a second time.
    RemoveLock,
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Appends a record of this many bytes.
    Append(u32),
    /// The same with `durable().append`.
    AppendDurable(u32),
    /// Appends a batch: how many records, of how many bytes.
    Batch(u32, u32),
    /// Appends records of this many bytes until a new segment is begun.
    Fill(u32),
    /// `sync`.
    Sync,
    /// `flush`.
    Flush,
    /// `wait_durable` of a record this many LSNs before the last.
    WaitDurable(u32),
    /// Moves the clock, then runs the background steps that are due.
    Pass(Duration),
    /// Reads all records and compares them.
    ReadAll,
    /// Reads from a record this many LSNs before the last.
    ReadFrom(u32),
    /// Goes on with a reader that stays open through the life.
    Follow(Eye),
    /// Opens read-only beside the writer and reads all.
    Look,
    /// Tries to open for writing a second time.
    SecondWriter,
    /// Somebody meddles with the directory.
    Meddle(Meddling),
    /// Removes all records but this many.
    TruncateBefore(u32),
    /// Appends a record and removes all before it but this many, in one write.
    TruncateWith(u32),
    /// Appends a record of this many bytes, on a full disk too.
    AppendReserved(u32),
    /// Removes this many of the newest records.
    TruncateAfter(u32),
    /// Raises the term by this much.
    Term(u32),
    /// The consumer with this number has seen the record this many before the last durable one.
    Consumer(u32, u32),
    /// Removes the consumer with this number.
    NoConsumer(u32),
    /// Sets the whole control state: the term stays, and there are this many consumers.
    SetControl(u32),
    /// `close`, with the handle still there; the life has no further calls.
    Closing,
    /// Leaves this many bytes free on the disk.
    FillDisk(u32),
    /// Lets this many more files be opened.
    FewFiles(u32),
    /// The file system becomes read-only.
    ReadOnly,
    /// The disk has room again, files can be opened, the file system can be written to.
    Relief,
}

impl Call {
    /// The numbers that it is made with. A time is none of them.
    pub(crate) fn numbers(&mut self) -> Vec<&mut u32> {
        match self {
            Self::Batch(one, two) | Self::Consumer(one, two) => vec![one, two],
            Self::Append(number)
            | Self::AppendDurable(number)
            | Self::Fill(number)
            | Self::WaitDurable(number)
            | Self::ReadFrom(number)
            | Self::TruncateBefore(number)
            | Self::TruncateWith(number)
            | Self::AppendReserved(number)
            | Self::TruncateAfter(number)
            | Self::Term(number)
            | Self::NoConsumer(number)
            | Self::SetControl(number)
            | Self::FillDisk(number)
            | Self::FewFiles(number) => vec![number],
            _ => Vec::new(),
        }
    }
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Power loss at the n-th change from the start of the life (its open included), or at its end.
    Crash(u64, Moment),
    /// The process is killed at the n-th change, in the middle of whatever it does, or at the end of the life.
    KillAt(u64, Moment),
    /// The process is killed between two calls, after the last.
    Kill,
    /// The handle is dropped.
    Drop,
    /// `close`.
    Close,
}

/// What a trouble does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ill {
    /// The operation fails.
    Error(SystemError),
    /// A read or a write transfers at most this many bytes.
    Short(u32),
    /// The operation takes this many microseconds.
    Slow(u32),
}

/// Which operations a trouble counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// All.
    Anywhere,
    /// Those that need a descriptor.
    Opening,
    /// One kind.
    Kind(OperationKind),
}

/// Something that the system does to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What.
    pub ill: Ill,
    /// Where.
    pub on: Where,
    /// Operations that pass before it strikes.
    pub after: u64,
    /// How many operations in a row it strikes; 0 for all from then on.
    pub times: u64,
}

/// Where the choices of a life come from: how much of an interrupted write was done, what the kernel does unasked, what a
/// crash leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choices {
    /// From a seed.
    Seed(u64),
    /// These, in order, then 0.
    Script(Vec<u32>),
}

/// From one open to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// Open read-only first, and see that it shows the same and changes nothing.
    pub look_first: bool,
    /// Whether the kernel writes back and evicts unasked.
    pub background: Background,
    /// What the system does to the log.
    pub troubles: Vec<Trouble>,
    /// The calls.
    pub calls: Vec<Call>,
    /// The end.
    pub end: End,
    /// What is left open.
    pub choices: Choices,
}

impl Life {
    /// A quiet life.
    #[must_use]
    pub fn new(calls: Vec<Call>, end: End, choices: Choices) -> Self {
        Self {
            look_first: false,
            background: Background::Idle,
            troubles: Vec::new(),
            calls,
            end,
            choices,
        }
    }
}

/// A whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Where everything came from, and the seed of the log's identities.
    pub seed: u64,
    /// The settings.
    pub setup: Setup,
    /// The lives; a last open follows that must find everything.
    pub lives: Vec<Life>,
}
