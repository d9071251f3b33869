//! The tests. Each session, or each run of many, is in a process of its own: this test program, started again with the job in
//! its environment, so that nothing else is counted.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use wal_core::blocking::Wal;
use wal_kv::blocking::KvStore;

use super::bounds::{MOST_DESCRIPTORS, Space, descriptors_of};
use super::life::{End, Event, Needed, many, session};
use super::subject::{Numbers, Subject};

const JOB: &str = "WAL_SESSIONS_JOB";
/// No session takes longer, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Standard input, output and error, and what the test runner may have left open.
const OWN_DESCRIPTORS: usize = 6;
/// Writes that may have reached the log between what was told and a kill, at most.
const UNTOLD: u64 = 3_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn sessions() -> u64 {
    setting("WAL_TEST_SESSIONS", 300)
}

fn seed() -> u64 {
    setting("WAL_TEST_SEED", 1)
}

/// The work of a process that these tests start.
#[derive(Debug)]
struct Job {
    subject: String,
    directory: PathBuf,
    seed: u64,
    /// How many sessions; or one, ended like this.
    sessions: Result<u64, End>,
}

impl Job {
    fn text(&self) -> String {
        let end = |end: &End| {
            End::ALL
                .iter()
                .find(|(_, known)| known == end)
                .expect("a way to end")
                .0
        };
        let sessions = match &self.sessions {
            Ok(count) => count.to_string(),
            Err(how) => end(how).to_owned(),
        };
        let directory = self.directory.display();
        format!("{} {} {sessions} {directory}", self.subject, self.seed)
    }

    fn of(text: &str) -> Self {
        let mut words = text.splitn(4, ' ');
        let mut word = || words.next().expect("a job has four parts");
        let (subject, seed, sessions, directory) = (word(), word(), word(), word());
        let end = End::ALL.iter().find(|(name, _)| *name == sessions);
        Self {
            subject: subject.to_owned(),
            directory: directory.into(),
            seed: seed.parse().expect("a seed"),
            sessions: match end {
                Some((_, end)) => Err(*end),
                None => Ok(sessions.parse().expect("a count")),
            },
        }
    }

    fn run<S: Subject>(&self) {
        match self.sessions {
            Ok(count) => many::<S>(&self.directory, self.seed, count),
            Err(end) => {
                let mut numbers = Numbers(self.seed);
                session::<S>(&self.directory, &mut numbers, end, tell);
            }
        }
    }

    fn start(&self) -> Child {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command
            .args([
                "--exact",
                "sessions::processes::a_process_of_these_tests",
                "--nocapture",
            ])
            .env(JOB, self.text())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().expect("the process starts")
    }
}

/// To the process that has started this one, at once.
fn tell(event: Event) {
    let line = match event {
        Event::Opened(last) => format!("=opened {last}\n"),
        Event::Durable(last) => format!("=durable {last}\n"),
        Event::Needed(first) => format!("=needed {first}\n"),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).expect("someone listens");
    out.flush().expect("someone listens");
}

fn heard(line: &str) -> Option<Event> {
    let (what, number) = line.strip_prefix('=')?.split_once(' ')?;
    let number = number.parse().ok()?;
    match what {
        "opened" => Some(Event::Opened(number)),
        "durable" => Some(Event::Durable(number)),
        "needed" => Some(Event::Needed(number)),
        _ => None,
    }
}

/// Does nothing unless one of the tests has started it.
#[test]
fn a_process_of_these_tests() {
    let Ok(job) = std::env::var(JOB) else { return };
    let job = Job::of(&job);
    match &*job.subject {
        Wal::NAME => job.run::<Wal>(),
        KvStore::NAME => job.run::<KvStore>(),
        other => panic!("{other} has no sessions"),
    }
}

/// Waits for a process, and shows its output if it failed.
#[track_caller]
fn finish(mut child: Child, context: &str) {
    let begun = Instant::now();
    while child.try_wait().expect("waited for").is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().expect("killed");
            panic!("{context}: it hangs");
        }
        thread::sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output().expect("waited for");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{context}: {said}");
}

fn in_one_process<S: Subject>() {
    let place = tempfile::tempdir().expect("a directory");
    let job = Job {
        subject: S::NAME.into(),
        directory: place.path().join(S::NAME),
        seed: seed(),
        sessions: Ok(sessions()),
    };
    let context = format!("WAL_TEST_SEED={}", seed());
    let begun = Instant::now();
    // A longer round takes longer.
    let mut child = job.start();
    let quiet = child.stdout.take();
    let reader = thread::spawn(move || quiet.map(|out| BufReader::new(out).lines().count()));
    let rounds = sessions().div_ceil(300);
    for _ in 1..rounds {
        let until = Instant::now() + PATIENCE;
        while child.try_wait().expect("waited for").is_none() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
    }
    finish(child, &context);
    drop(reader.join());
    report::<S>("in one process", begun);
}

/// A line on the real standard error, which the test runner does not capture.
fn report<S: Subject>(how: &str, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    let line = format!(
        "sessions: {} of a {} {how}, seed {}, 0 violations, {seconds:.1} s\n",
        sessions(),
        S::NAME,
        seed()
    );
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn as_processes<S: Subject>() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path().join(S::NAME);
    let mut numbers = Numbers(seed());
    let mut needed = Needed::new();
    let mut durable = 0;
    let begun = Instant::now();
    for number in 0..sessions() {
        let (name, end) = End::ALL[numbers.below(End::ALL.len() as u64) as usize];
        let context = format!(
            "{}, session {number}, ended by {name}, WAL_TEST_SEED={}",
            S::NAME,
            seed()
        );
        let job = Job {
            subject: S::NAME.into(),
            directory: directory.clone(),
            seed: numbers.below(u64::MAX),
            sessions: Err(end),
        };
        let moment = Duration::from_micros(numbers.below(12_000));
        let events = one_process(&job, end, moment, &context);
        for event in events {
            if let Event::Opened(found) = event {
                assert!(found >= durable, "{context}: found {found} of {durable}");
            }
            needed.hear(event);
            if let Event::Durable(now) = event {
                durable = now;
            }
        }
        let untold = if end == End::Kill { UNTOLD } else { 0 };
        if directory.exists() {
            check_space::<S>(&directory, &mut needed, untold, &context);
        }
    }
    report::<S>("as processes", begun);
}

fn check_space<S: Subject>(directory: &Path, needed: &mut Needed, untold: u64, context: &str) {
    Space::of(directory).assert_within(needed.most::<S>(untold), context);
}

/// Starts a process and ends it; what it has told.
fn one_process(job: &Job, end: End, moment: Duration, context: &str) -> Vec<Event> {
    let mut child = job.start();
    let stdout = child.stdout.take().expect("it was piped");
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&events);
    let reader = thread::spawn(move || {
        // A line that a kill has cut short tells nothing.
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            told.lock().expect("nobody panics").extend(heard(&line));
        }
    });
    if end == End::Kill {
        // From the moment when the process starts: some are killed while they open.
        thread::sleep(moment);
        let descriptors = descriptors_of(child.id());
        assert!(
            descriptors <= MOST_DESCRIPTORS + OWN_DESCRIPTORS,
            "{context}: {descriptors} descriptors"
        );
        let early = child.try_wait().expect("waited for");
        child.kill().expect("killed");
        if early.is_some() {
            finish(child, context);
        } else {
            child.wait().expect("waited for");
        }
    } else {
        finish(child, context);
    }
    reader.join().expect("the reader ends");
    let events = events.lock().expect("nobody panics");
    events.clone()
}

#[test]
fn sessions_of_a_log_in_one_process_pile_nothing_up() {
    in_one_process::<Wal>();
}

#[test]
fn sessions_of_a_store_in_one_process_pile_nothing_up() {
    in_one_process::<KvStore>();
}

#[test]
fn sessions_of_a_log_as_processes_lose_nothing_and_pile_nothing_up() {
    as_processes::<Wal>();
}

#[test]
fn sessions_of_a_store_as_processes_lose_nothing_and_pile_nothing_up() {
    as_processes::<KvStore>();
}
