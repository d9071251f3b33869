//! One run under one variant, within a limit of time.

use std::io::Read as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// A broken log may hang; nothing here takes as long as this.
const LIMIT: Duration = Duration::from_secs(30);
/// All random programs, on a busy machine. While nothing is broken they have no failure at which they could stop.
const LIMIT_OF_ALL: Duration = Duration::from_secs(600);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Names the variant to the build under test.
const VARIABLE: &str = "WAL_SABOTAGE";

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    /// With what it printed.
    Failed(String),
    /// It was not at its end within the limit, and was ended.
    Hung,
}

/// A command that is to fail under a variant.
#[derive(Debug)]
pub(super) struct Trial {
    command: Command,
    limit: Duration,
}

impl Trial {
    pub(super) fn new(command: Command) -> Self {
        Self {
            command,
            limit: LIMIT,
        }
    }

    /// The same, with time enough for all random programs.
    pub(super) fn of_all(mut self) -> Self {
        self.limit = LIMIT_OF_ALL;
        self
    }

    /// Runs it under `variant`, or with nothing broken.
    pub(super) fn run(mut self, variant: Option<&str>) -> anyhow::Result<Verdict> {
        let command = self.command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::null()).env_remove(VARIABLE);
        command.envs(variant.map(|name| (VARIABLE, name)));
        let mut child = command.spawn().context("could not start a test program")?;
        let mut stdout = child.stdout.take().context("it was piped")?;
        // Read beside the wait, so that a full pipe does not look like a hang.
        let reader = thread::spawn(move || {
            let mut output = Vec::new();
            stdout.read_to_end(&mut output).map(|_| output)
        });
        let Some(status) = wait(&mut child, self.limit)? else {
            return Ok(Verdict::Hung);
        };
        let output = reader.join().ok().and_then(Result::ok).unwrap_or_default();
        Ok(if status.success() {
            Verdict::Passed
        } else {
            Verdict::Failed(String::from_utf8_lossy(&output).into_owned())
        })
    }
}

fn wait(child: &mut Child, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if let Some(status) = child
            .try_wait()
            .context("could not wait for a test program")?
        {
            return Ok(Some(status));
        }
        thread::sleep(LOOK_AGAIN);
    }
    child.kill().context("could not end a test program")?;
    child.wait().context("could not wait for a test program")?;
    Ok(None)
}

/// The seed of the failing program in what the random programs have printed.
pub(super) fn seed_in(output: &str) -> Option<u64> {
    // Not the first seed of all, which the summary names.
    let rest = output.lines().find_map(|line| line.strip_prefix("seed "))?;
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}
