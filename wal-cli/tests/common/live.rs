//! A running `wal append` that a test talks to line by line.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// Longer than anything takes on a machine that is busy with other things.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) struct Live {
    child: Child,
    stdin: Option<ChildStdin>,
    acks: Receiver<u64>,
}

impl Live {
    pub(crate) fn append(dir: &Path, options: &[&str]) -> Self {
        Self::start(super::wal().arg("append").arg(dir).args(options))
    }

    /// Starts a command that reads lines and prints a number a line.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, acks) = channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                // A line that a kill has cut short is no acknowledgement.
                let Ok(lsn) = line.unwrap_or_default().parse() else {
                    return;
                };
                if sender.send(lsn).is_err() {
                    return;
                }
            }
        });
        Self { child, stdin, acks }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    #[track_caller]
    pub(crate) fn acked(&self) -> u64 {
        self.acks.recv_timeout(LONG).unwrap()
    }

    /// Nothing is acknowledged for so long.
    #[track_caller]
    pub(crate) fn silent(&self, time: Duration) {
        let outcome = self.acks.recv_timeout(time);
        assert_eq!(outcome, Err(RecvTimeoutError::Timeout));
    }

    /// The input, for a thread of its own.
    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the input and waits; the acknowledgements that were not asked for yet.
    pub(crate) fn finish(mut self) -> (ExitStatus, Vec<u64>) {
        drop(self.stdin.take());
        let status = self.child.wait().unwrap();
        (status, self.acks.iter().collect())
    }

    /// Kills it, and waits until it is gone; the acknowledgements that came before.
    pub(crate) fn kill(mut self) -> Vec<u64> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.acks.iter().collect()
    }
}

impl Drop for Live {
    /// A test that fails leaves no writer behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
