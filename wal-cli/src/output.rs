//! What leaves the command: data and reports on standard output, messages on standard error, the exit code.

use std::fmt::{Display, Write as _};
use std::io::{self, BufWriter, StdoutLock, Write as _};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use wal_core::Error;

use crate::errors;

/// How a command ended. The help text and the README promise these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Clean = 0,
    CouldNot = 1,
    Usage = 2,
    TornTail = 3,
    Corruption = 4,
    Locked = 5,
    Gaps = 6,
}

impl Exit {
    /// What an error of the log means for the caller.
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::Gap { cause: None, .. } => Self::Gaps,
            Error::Corruption(_) | Error::MissingSegment { .. } | Error::Gap { .. } => {
                Self::Corruption
            }
            Error::TornTail { .. } => Self::TornTail,
            Error::Locked { .. } => Self::Locked,
            Error::InvalidConfig { .. } => Self::Usage,
            _ => Self::CouldNot,
        }
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// For standard error; none if nobody needs to be told.
    message: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: Some(message.into()),
        }
    }

    /// Standard output could not be written. If its reader went away, that is a normal end.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                exit: Exit::Clean,
                message: None,
            };
        }
        Self::new(Exit::CouldNot, format!("writing standard output: {error}"))
    }

    /// Standard output's reader went away.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.message.is_none()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(Exit::of(&error), errors::describe(&error))
    }
}

/// Reports a failure, and gives the exit code.
pub(crate) fn finish(outcome: Result<Exit, Failure>) -> ExitCode {
    let exit = match outcome {
        Ok(exit) => exit,
        Err(failure) => {
            if let Some(text) = failure.message {
                message(text);
            }
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}

/// The log's directory, as the log's own messages name it.
pub(crate) fn location(dir: &Path) -> String {
    let path = std::path::absolute(dir);
    path.as_deref().unwrap_or(dir).display().to_string()
}

/// One line on standard error. If that is closed, there is nobody to tell.
pub(crate) fn message(text: impl Display) {
    let line = format!("wal: {text}\n");
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Standard output in large pieces. The caller flushes it: what is left when it is dropped may be lost in silence.
pub(crate) fn data() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(256 << 10, io::stdout().lock())
}

/// Prints a report, as text or as one JSON object on a line. The exit code reports what was found, even if nobody reads the report.
pub(crate) fn report(table: &Table, json: Option<&impl Serialize>) -> Result<(), Failure> {
    let mut out = data();
    let written = match json {
        Some(object) => json_line(&mut out, object),
        None => out.write_all(table.0.as_bytes()),
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::output(&error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// One JSON object, and the end of its line.
pub(crate) fn json_line(out: &mut impl io::Write, object: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    out.write_all(b"\n")
}

/// A text report: a label and a value on each line.
#[derive(Debug, Default)]
pub(crate) struct Table(String);

impl Table {
    pub(crate) fn row(&mut self, label: &str, value: impl Display) {
        // A string takes whatever is written to it.
        let _ = writeln!(self.0, "{label:<13}{value}");
    }
}
