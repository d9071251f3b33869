//! Where cases run: logs to begin with, copies of them, strace, limits of time.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::case::{Case, Effect, Operation};
use super::judge::{
    Content, DAMAGED_LINE, Ended, KEPT_FROM, KEPT_TO, KILLED_LINES, LINES, NEXT_LINE, Observed, Ran,
};
use super::survey::{Scope, Survey};
use super::trace;

/// Far longer than anything takes, also under strace on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// How late a call is, in microseconds.
const DELAY: &str = "30000";
/// Three lines fill a segment, four do not fit.
const LINE: usize = 300_000;

/// The line of a number.
fn line(number: u64) -> String {
    let mut line = format!("{number:06} ");
    let filler = (b'a' + (number % 26) as u8) as char;
    line.extend(std::iter::repeat_n(filler, LINE));
    line.push('\n');
    line
}

/// The options of every append; `policy` as the command takes it.
fn append(policy: &str) -> Vec<String> {
    [
        "append",
        "--ack",
        "--segment-size",
        "1MiB",
        "--fsync",
        policy,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The command under test and the logs that it starts from.
pub(super) struct Lab {
    wal: PathBuf,
    root: tempfile::TempDir,
}

impl Lab {
    /// Makes the logs with `wal` itself.
    pub(super) fn new(wal: &Path) -> anyhow::Result<Self> {
        let lab = Self {
            wal: std::path::absolute(wal)?,
            root: tempfile::Builder::new().prefix("wal-syscalls-").tempdir()?,
        };
        let text = |lines: &mut dyn Iterator<Item = u64>| lines.map(line).collect::<String>();
        fs::write(lab.input("all"), text(&mut (1..=LINES)))?;
        fs::write(lab.input("open"), line(KILLED_LINES + 1))?;
        fs::write(lab.input("next"), line(NEXT_LINE))?;
        fs::write(lab.input("none"), "")?;
        lab.make_closed()?;
        lab.make_damaged()?;
        lab.make_killed()?;
        Ok(lab)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn input(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.lines"))
    }

    /// All lines, closed cleanly.
    fn make_closed(&self) -> anyhow::Result<()> {
        let place = Place::new(&self.path("closed"))?;
        let ran = self.run(&place, &append("always"), "all")?;
        anyhow::ensure!(ran.ended == Ended::Code(0), "{}", ran.stderr);
        Ok(())
    }

    /// The same with one bad byte, in the middle of a record in the middle of the log.
    fn make_damaged(&self) -> anyhow::Result<()> {
        let place = self.copy("closed", "damaged")?;
        let segment = place.log().join("00000000000000000002.wal");
        let mut bytes = fs::read(&segment)?;
        let in_the_record = (DAMAGED_LINE as usize - 4) * LINE + LINE / 2;
        bytes[in_the_record] ^= 1;
        fs::write(&segment, bytes)?;
        Ok(())
    }

    /// Some lines, acknowledged, by a writer that was killed.
    fn make_killed(&self) -> anyhow::Result<()> {
        let place = Place::new(&self.path("killed"))?;
        let mut command = Command::new(&self.wal);
        let mut child = command
            .args(append("always"))
            .arg(place.log())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut stdin = child.stdin.take().context("it was piped")?;
        let stdout = child.stdout.take().context("it was piped")?;
        let feeder = thread::spawn(move || {
            let fed = (1..=KILLED_LINES).try_for_each(|n| stdin.write_all(line(n).as_bytes()));
            // Open until the writer is gone: it must not close the log.
            (fed, stdin)
        });
        let acks = BufReader::new(stdout).lines();
        let acks = acks.take(KILLED_LINES as usize).count() as u64;
        child.kill()?;
        child.wait()?;
        drop(feeder.join());
        anyhow::ensure!(
            acks == KILLED_LINES,
            "the writer to be killed did not append"
        );
        Ok(())
    }

    /// A copy of a place, under another name.
    fn copy(&self, from: &str, to: &str) -> anyhow::Result<Place> {
        let place = Place::new(&self.path(to))?;
        let from = Place(self.path(from));
        fs::create_dir(place.log())?;
        for entry in fs::read_dir(from.log())? {
            let entry = entry?;
            fs::copy(entry.path(), place.log().join(entry.file_name()))?;
        }
        Ok(place)
    }

    /// Where an operation starts.
    fn start(&self, operation: Operation, name: &str) -> anyhow::Result<Place> {
        match operation {
            Operation::AppendAlways | Operation::AppendBatch | Operation::AppendOs => {
                Place::new(&self.path(name))
            }
            Operation::Open => self.copy("killed", name),
            Operation::Repair => self.copy("damaged", name),
            Operation::TruncateBefore
            | Operation::TruncateAfter
            | Operation::Verify
            | Operation::Stat
            | Operation::Cat => self.copy("closed", name),
        }
    }

    /// What the command does without a fault: all its calls, and what it prints.
    pub(super) fn survey(&self, operation: Operation) -> anyhow::Result<(Survey, Vec<u8>)> {
        let name = format!("survey-{}", operation.name().replace(' ', "-"));
        let place = self.start(operation, &name)?;
        let output = place.file("trace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-y", "-s", "8", "-o"]).arg(&output);
        strace.arg(&self.wal);
        let ran = self.run_command(strace, &place, &arguments(operation), input(operation))?;
        anyhow::ensure!(
            ran.ended == Ended::Code(0),
            "{} fails without a fault: {}",
            operation.name(),
            ran.stderr
        );
        let calls = trace::calls(&fs::read_to_string(&output)?);
        let survey = Survey::of(&calls, &place.place());
        fs::remove_dir_all(&place.0)?;
        Ok((survey, ran.stdout))
    }

    /// Runs one case, in a directory called `name`, and looks at what it has left.
    pub(super) fn case(
        &self,
        case: &Case,
        survey: &Survey,
        clean_stdout: &[u8],
        name: &str,
    ) -> anyhow::Result<Observed> {
        let place = self.start(case.operation, name)?;
        let before = place.snapshot()?;
        let output = place.file("trace");
        let mut strace = strace(case, survey, &place);
        strace.arg("-o").arg(&output).arg(&self.wal);
        let arguments = arguments(case.operation);
        let ran = self.run_command(strace, &place, &arguments, input(case.operation))?;
        let trace = fs::read_to_string(&output).unwrap_or_default();
        let mut struck = trace::struck(&trace);
        if case.effect == Effect::Kill && trace::was_killed(&trace) {
            struck.push("killed".into());
        }
        let content = self.content(&place)?;
        let changed = place.snapshot()? != before;
        let verified = self.run(&place, &["verify"], "none")?.ended;
        let again = match case.operation {
            Operation::Repair => Some(self.run(&place, &["repair"], "none")?),
            _ => None,
        };
        let next = self.run(&place, &append("always"), "next")?;
        let next_content = self.content(&place)?;
        fs::remove_dir_all(&place.0)?;
        Ok(Observed {
            ran,
            struck,
            clean_stdout: clean_stdout.to_vec(),
            content,
            changed,
            verified,
            again,
            next,
            next_content,
        })
    }

    /// The lines of the log; none if there is no log.
    fn content(&self, place: &Place) -> anyhow::Result<Content> {
        if !place.log().exists() {
            return Ok(Ok(Vec::new()));
        }
        let ran = self.run(place, &["cat", "--skip-damage"], "none")?;
        if ran.ended == Ended::Code(1) && ran.stderr.contains("not a log") {
            return Ok(Ok(Vec::new()));
        }
        // A gap has an exit code of its own, and so has damage; which lines are missing is seen here.
        if !matches!(ran.ended, Ended::Code(0 | 4 | 6)) {
            return Ok(Err(format!("{:?}: {}", ran.ended, ran.stderr)));
        }
        Ok(numbers(&ran.stdout))
    }

    /// Runs the command without a fault.
    fn run(&self, place: &Place, args: &[impl AsRef<str>], input: &str) -> anyhow::Result<Ran> {
        self.run_command(Command::new(&self.wal), place, args, input)
    }

    fn run_command(
        &self,
        mut command: Command,
        place: &Place,
        args: &[impl AsRef<str>],
        input: &str,
    ) -> anyhow::Result<Ran> {
        let (stdout, stderr) = (place.file("stdout"), place.file("stderr"));
        // The log comes last: before it only options.
        command
            .args(args.iter().map(AsRef::as_ref))
            .arg(place.log());
        command
            .stdin(File::open(self.input(input))?)
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?)
            .env_remove("RUST_BACKTRACE")
            .process_group(0);
        let mut child = command
            .spawn()
            .with_context(|| format!("could not start {command:?}"))?;
        let ended = wait(&mut child)?;
        Ok(Ran {
            ended,
            stdout: fs::read(stdout)?,
            stderr: own_words(&fs::read_to_string(stderr)?),
        })
    }
}

/// What the command is given, without the log's path.
fn arguments(operation: Operation) -> Vec<String> {
    match operation {
        Operation::AppendAlways | Operation::Open => append("always"),
        Operation::AppendBatch => append("batch:1ms"),
        Operation::AppendOs => append("os"),
        Operation::TruncateBefore => {
            vec!["truncate".into(), "--before".into(), KEPT_FROM.to_string()]
        }
        Operation::TruncateAfter => vec!["truncate".into(), "--after".into(), KEPT_TO.to_string()],
        Operation::Repair => vec!["repair".into()],
        Operation::Verify => vec!["verify".into(), "--json".into()],
        Operation::Stat => vec!["stat".into(), "--json".into()],
        Operation::Cat => vec!["cat".into()],
    }
}

fn input(operation: Operation) -> &'static str {
    match operation {
        Operation::AppendAlways | Operation::AppendBatch | Operation::AppendOs => "all",
        Operation::Open => "open",
        _ => "none",
    }
}

/// strace with the fault of a case, without its output and the command.
fn strace(case: &Case, survey: &Survey, place: &Place) -> Command {
    let Case {
        call,
        effect,
        occurrence,
        ..
    } = case;
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "8"]);
    let tampering = match effect {
        Effect::Error(errno) => format!("error={errno}"),
        Effect::Kill => "signal=SIGKILL".into(),
        Effect::Delay => format!("delay_enter={DELAY}"),
    };
    if *effect != Effect::Kill {
        // Threads stop at this call only. Signals are not delivered in this way.
        strace.arg("--seccomp-bpf");
    }
    if survey
        .site(call)
        .is_some_and(|site| site.scope == Scope::Place)
    {
        for path in &survey.paths {
            strace.arg("-P").arg(format!("{}{path}", place.place()));
        }
    }
    strace.arg("-e").arg(format!("trace={call}"));
    strace
        .arg("-e")
        .arg(format!("inject={call}:{tampering}:when={occurrence}"));
    strace
}

/// Without what strace says.
fn own_words(stderr: &str) -> String {
    let own = stderr.split_inclusive('\n');
    own.filter(|line| !line.starts_with("strace: ")).collect()
}

/// The numbers of the lines that `wal cat` has printed.
fn numbers(printed: &[u8]) -> Content {
    let mut numbers = Vec::new();
    for found in printed.split_inclusive(|byte| *byte == b'\n') {
        let number = found
            .get(..6)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let number = number.and_then(|digits| digits.parse().ok());
        match number.filter(|number| line(*number).as_bytes() == found) {
            Some(number) => numbers.push(number),
            None => return Err(format!("line {} was never appended", numbers.len() + 1)),
        }
    }
    Ok(numbers)
}

fn wait(child: &mut Child) -> anyhow::Result<Ended> {
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        if let Some(status) = child.try_wait()? {
            let ended = status.code().map(Ended::Code);
            return Ok(ended.unwrap_or_else(|| Ended::Signal(status.signal().unwrap_or(0))));
        }
        thread::sleep(LOOK_AGAIN);
    }
    // The group: strace and what it traces.
    let group = format!("-{}", child.id());
    Command::new("kill")
        .args(["-KILL", "--", &group])
        .status()?;
    child.wait()?;
    Ok(Ended::Hung)
}

/// The directory of a case: `place` with the log in it, and beside that what the command is not to see.
struct Place(PathBuf);

impl Place {
    fn new(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path.join("place"))?;
        Ok(Self(path.to_owned()))
    }

    fn place(&self) -> String {
        self.0.join("place").display().to_string()
    }

    fn log(&self) -> PathBuf {
        self.0.join("place/log")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Every file of the log, with its bytes.
    fn snapshot(&self) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut files = Vec::new();
        let mut folders = vec![self.0.join("place")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = fs::read(&path)?;
                    files.push((path, bytes));
                }
            }
        }
        files.sort();
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_known_by_their_numbers() {
        let printed = [line(7), line(8), line(99)].concat();
        assert_eq!(numbers(printed.as_bytes()), Ok(vec![7, 8, 99]));
        let cut = &printed.as_bytes()[..printed.len() - 2];
        assert_eq!(numbers(cut), Err("line 3 was never appended".into()));
        let wrong = printed.replace('h', "i");
        assert!(numbers(wrong.as_bytes()).is_err());
    }

    #[test]
    fn what_strace_says_is_not_taken_for_the_commands_word() {
        let stderr = "strace: Requested path is long\nwal: no\n";
        assert_eq!(own_words(stderr), "wal: no\n");
    }
}
