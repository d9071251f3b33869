//! What the command asks of the system, seen through strace: one write and one sync a line under `always`, a sync of its own
//! under `batch`, none but the log's own under `os`, and every directory synced that was changed.

#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::live::{LONG, Live};
use common::{Place, has, run, skip};

const CALLS: &str =
    "trace=read,write,pwrite64,fdatasync,fsync,rename,renameat,renameat2,mkdir,mkdirat,openat";

/// One call, at the moment when it began.
#[derive(Debug)]
struct Call {
    name: String,
    /// All between the brackets, and the result if it is on the same line.
    rest: String,
}

impl Call {
    fn of(line: &str) -> Option<Self> {
        let line = line.trim_start_matches(|char: char| char.is_ascii_digit() || char == ' ');
        if line.starts_with("<...") {
            return None;
        }
        let (name, rest) = line.split_once('(')?;
        Some(Self {
            name: name.to_owned(),
            rest: rest.to_owned(),
        })
    }

    /// A call of this name on a descriptor of this file.
    fn is(&self, name: &str, path: &Path) -> bool {
        self.name == name && self.file() == Some(path)
    }

    /// The file of the descriptor that is its first argument.
    fn file(&self) -> Option<&Path> {
        let (descriptor, rest) = self.rest.split_once('<')?;
        let (path, _) = rest.split_once('>')?;
        let is_descriptor = descriptor.bytes().all(|byte| byte.is_ascii_digit());
        is_descriptor.then_some(Path::new(path))
    }

    fn has_extension(&self, name: &str, extension: &str) -> bool {
        let file = self.file().and_then(Path::extension);
        self.name == name && file.is_some_and(|found| found == extension)
    }

    fn is_rename_to(&self, extension: &str) -> bool {
        // The line may end behind the name: `<unfinished ...>`.
        let mut names = self.rest.split('"').skip(1).step_by(2);
        let to = names.nth(1).map(Path::new).and_then(Path::extension);
        self.name.starts_with("rename") && to.is_some_and(|found| found == extension)
    }

    /// Zeros ahead of the records, in pieces of their own length and beside the calls that the records cost.
    fn is_prewrite(&self) -> bool {
        self.name == "pwrite64" && self.rest.contains(", 262144, ")
    }

    /// The directory that it makes.
    fn makes(&self) -> Option<PathBuf> {
        if !self.name.starts_with("mkdir") {
            return None;
        }
        self.rest.split('"').nth(1).map(PathBuf::from)
    }

    /// An acknowledgement.
    fn is_ack(&self) -> bool {
        self.name == "write" && self.rest.starts_with("1<")
    }
}

struct Trace {
    place: Place,
}

impl Trace {
    fn new(test: &str) -> Option<Self> {
        if !has("strace") {
            skip(test, "strace is not installed");
            return None;
        }
        let place = Place::new();
        let try_it = run(
            Command::new("strace").args(["-o", "/dev/null", "true"]),
            b"",
        );
        if try_it.code != Some(0) {
            skip(test, "strace may not trace here");
            return None;
        }
        Some(Self { place })
    }

    fn file(&self) -> PathBuf {
        self.place.root().join("trace")
    }

    /// `wal append` under strace.
    fn append(&self, dir: &Path, options: &[&str]) -> Command {
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-s", "16", "-e", CALLS, "-o"]);
        command.arg(self.file()).arg(env!("CARGO_BIN_EXE_wal"));
        command.arg("append").arg(dir).args(options);
        command
    }

    fn calls(&self) -> Vec<Call> {
        let text = fs::read_to_string(self.file()).unwrap_or_default();
        let calls = text.lines().filter_map(Call::of);
        calls.filter(|call| !call.is_prewrite()).collect()
    }

    /// Looks at the trace while the command runs.
    #[track_caller]
    fn wait_until(&self, is: impl Fn(&[Call]) -> bool) {
        let begun = Instant::now();
        while !is(&self.calls()) {
            assert!(begun.elapsed() < LONG, "{:#?}", self.calls());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn count(calls: &[Call], is: impl Fn(&Call) -> bool) -> usize {
    calls.iter().filter(|call| is(call)).count()
}

#[track_caller]
fn first(calls: &[Call], is: impl Fn(&Call) -> bool) -> usize {
    calls.iter().position(is).unwrap()
}

#[test]
fn always_is_one_write_and_one_sync_a_line() {
    let Some(trace) = Trace::new("always_is_one_write_and_one_sync_a_line") else {
        return;
    };
    let lines = 50;
    let log = trace.place.log();
    let mut command = trace.append(&log, &["--fsync", "always", "--ack"]);
    run(&mut command, &b"a line\n".repeat(lines)).code(0);
    let calls = trace.calls();
    let segment = log.join("00000000000000000001.wal");
    let spare = log.join("00000000000000000001.spare");

    // Beside the lines: the header of the new segment and the footer of the close, each with its sync.
    assert_eq!(count(&calls, |call| call.is("pwrite64", &spare)), 1);
    assert_eq!(count(&calls, |call| call.is("fdatasync", &spare)), 1);
    assert_eq!(
        count(&calls, |call| call.is("pwrite64", &segment)),
        lines + 1
    );
    assert_eq!(
        count(&calls, |call| call.is("fdatasync", &segment)),
        lines + 1
    );
    assert_eq!(count(&calls, Call::is_ack), lines);

    // Write, sync, acknowledge; and then the next line.
    let order: Vec<&str> = calls
        .iter()
        .filter(|call| {
            call.is("pwrite64", &segment) || call.is("fdatasync", &segment) || call.is_ack()
        })
        .map(|call| call.name.as_str())
        .collect();
    for line in order[..lines * 3].chunks(3) {
        assert_eq!(line, ["pwrite64", "fdatasync", "write"]);
    }
    assert_eq!(order[lines * 3..], ["pwrite64", "fdatasync"]);
}

/// The input's end, whether strace saw it in one piece or not.
fn end_of_input(trace: &Trace) -> usize {
    let text = fs::read_to_string(trace.file()).unwrap();
    let is_end = |line: &&str| {
        (line.contains(" read(0<") || line.contains("read resumed")) && line.ends_with(" = 0")
    };
    let lines: Vec<&str> = text.lines().collect();
    let end = lines.iter().rposition(is_end).unwrap();
    lines[..end]
        .iter()
        .filter_map(|line| Call::of(line))
        .count()
}

#[test]
fn batch_syncs_by_itself_after_one_record_and_silence() {
    let Some(trace) = Trace::new("batch_syncs_by_itself_after_one_record_and_silence") else {
        return;
    };
    let log = trace.place.log();
    let mut live = Live::start(&mut trace.append(&log, &["--fsync", "batch:5ms"]));
    let segment = log.join("00000000000000000001.wal");
    for (lines, line) in [(1, &b"a line\n"[..]), (2, b"another\n")] {
        live.send(line);
        trace.wait_until(|calls| count(calls, |call| call.is("fdatasync", &segment)) == lines);
    }
    assert!(live.finish().0.success());
    let calls = trace.calls();
    let in_time = &calls[..end_of_input(&trace)];
    let order: Vec<&str> = in_time
        .iter()
        .filter(|call| call.file() == Some(&segment))
        .map(|call| call.name.as_str())
        .collect();
    assert!(order.len() >= 4, "{order:?}");
    assert_eq!(
        order[..4],
        ["pwrite64", "fdatasync", "pwrite64", "fdatasync"]
    );
}

#[test]
fn os_syncs_only_new_sealed_and_closed_segments() {
    let Some(trace) = Trace::new("os_syncs_only_new_sealed_and_closed_segments") else {
        return;
    };
    let log = trace.place.log();
    let options = ["--fsync", "os", "--segment-size", "1MiB"];
    let mut live = Live::start(&mut trace.append(&log, &options));
    live.send(b"a line\n");
    thread::sleep(Duration::from_millis(1_500));
    let filling = [b"x".repeat(9_999), vec![b'\n']].concat();
    live.send(&filling.repeat(350));
    thread::sleep(Duration::from_millis(300));
    assert!(live.finish().0.success());
    let calls = trace.calls();

    // One record and a second and a half of silence: handed over, and not synced.
    let segment = log.join("00000000000000000001.wal");
    let second_write = calls
        .iter()
        .enumerate()
        .filter(|(_, call)| call.is("pwrite64", &segment))
        .nth(1)
        .unwrap()
        .0;
    let synced = |call: &Call| call.has_extension("fdatasync", "wal");
    assert_eq!(count(&calls[..second_write], synced), 0);

    // A segment is synced when it is made, once when the next one has taken over, and with its footer.
    let segments = trace.place.files("wal");
    assert_eq!(segments.len(), 4);
    for segment in &segments {
        assert_eq!(
            count(&calls, |call| call.is("fdatasync", segment)),
            2,
            "{segment:?}"
        );
        let spare = segment.with_extension("spare");
        assert_eq!(
            count(&calls, |call| call.is("fdatasync", &spare)),
            1,
            "{segment:?}"
        );
    }
    let other = |call: &Call| {
        let directory = call.file() == Some(&log);
        let segment =
            call.has_extension("fdatasync", "wal") || call.has_extension("fdatasync", "spare");
        call.name.ends_with("sync")
            && !directory
            && !segment
            && call.file().is_some_and(|file| file.starts_with(&log))
    };
    // The space that is kept for a full disk, each file once.
    let reserve = [".reserve", ".reserve2"].map(|name| log.join(name));
    let reserve = reserve.iter().filter(|file| file.exists());
    assert_eq!(count(&calls, other), reserve.clone().count());
    for file in reserve {
        assert_eq!(count(&calls, |call| call.is("fdatasync", file)), 1);
    }
}

#[test]
fn each_new_directory_and_each_new_name_is_synced_before_the_first_acknowledgement() {
    let test = "each_new_directory_and_each_new_name_is_synced_before_the_first_acknowledgement";
    let Some(trace) = Trace::new(test) else {
        return;
    };
    let log = trace.place.root().join("a/b/log");
    let mut command = trace.append(&log, &["--fsync", "always", "--ack"]);
    run(&mut command, b"a line\n").code(0);
    let calls = trace.calls();
    let calls = &calls[..first(&calls, Call::is_ack)];

    let made: Vec<PathBuf> = calls.iter().filter_map(Call::makes).collect();
    let root = trace.place.root();
    assert_eq!(made, [root.join("a"), root.join("a/b"), log.clone()]);
    for directory in &made {
        let at = first(calls, |call| call.makes().as_ref() == Some(directory));
        let parent = directory.parent().unwrap();
        first(&calls[at..], |call| call.is("fsync", parent));
    }
    let header = first(calls, |call| call.has_extension("fdatasync", "spare"));
    let rename = first(calls, |call| call.is_rename_to("wal"));
    first(&calls[header..rename], |call| call.is("fsync", &log));
    first(&calls[rename..], |call| call.is("fsync", &log));
}

#[test]
fn a_rotation_syncs_the_directory_around_the_rename() {
    let Some(trace) = Trace::new("a_rotation_syncs_the_directory_around_the_rename") else {
        return;
    };
    let log = trace.place.log();
    let options = ["--fsync", "always", "--ack", "--segment-size", "1MiB"];
    let filling = [b"x".repeat(9_999), vec![b'\n']].concat();
    run(&mut trace.append(&log, &options), &filling.repeat(250)).code(0);
    let calls = trace.calls();
    let renames: Vec<usize> = (0..calls.len())
        .filter(|at| calls[*at].is_rename_to("wal"))
        .collect();
    assert_eq!(renames.len(), 3);
    let mut before = 0;
    for rename in renames {
        let spare = first(&calls[before..], |call| {
            call.has_extension("fdatasync", "spare")
        });
        first(&calls[before + spare..rename], |call| {
            call.is("fsync", &log)
        });
        let ack = first(&calls[rename..], Call::is_ack);
        first(&calls[rename..rename + ack], |call| call.is("fsync", &log));
        before = rename;
    }
}
