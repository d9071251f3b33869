//! A process under test: started, listened to, killed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;

use super::report::Event;

/// A running process. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    events: Receiver<Event>,
    reader: Option<JoinHandle<()>>,
    errors: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts this program with other arguments, with at most `descriptors` open files if that is given.
    ///
    /// # Errors
    /// If the system cannot start it.
    pub fn start(args: &[String], descriptors: Option<u64>) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the path of this program")?;
        let mut command = match descriptors {
            None => Command::new(program),
            Some(most) => {
                let mut shell = Command::new("sh");
                shell
                    .arg("-c")
                    .arg(format!("ulimit -n {most} && exec \"$0\" \"$@\""));
                shell.arg(program);
                shell
            }
        };
        command.args(args).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting a process")?;
        let stdout = child.stdout.take().context("it was piped")?;
        let mut stderr = child.stderr.take().context("it was piped")?;
        let (sender, events) = channel();
        let reader = thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            let mut line = Vec::new();
            // A line that a kill has cut short has no end.
            while lines
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let text = String::from_utf8_lossy(&line);
                let event = text.strip_suffix('\n').and_then(Event::parse);
                if event.is_some_and(|event| sender.send(event).is_err()) {
                    break;
                }
                line.clear();
            }
        });
        let errors = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        Ok(Self {
            child,
            events,
            reader: Some(reader),
            errors: Some(errors),
        })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next event, or `None` if there is none within `time`.
    #[must_use]
    pub fn event(&self, time: Duration) -> Option<Event> {
        match self.events.recv_timeout(time) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            // It has closed its output, and ends soon.
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(time);
                None
            }
        }
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// The system's.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().context("looking for a process")
    }

    /// Ends it at once, in the middle of whatever it does.
    ///
    /// # Errors
    /// The system's.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().context("killing a process")?;
        self.child.wait().context("waiting for a process")?;
        Ok(())
    }

    /// After its end: the events that were not taken yet, and what it wrote to its standard error.
    #[must_use]
    pub fn rest(mut self) -> (Vec<Event>, String) {
        let errors = self.errors.take().and_then(|reader| reader.join().ok());
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        (self.events.try_iter().collect(), errors.unwrap_or_default())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
