//! What the tests of the command share: running it, lines to feed it, and a visible way to skip.
#![allow(dead_code)]

pub(crate) mod live;

use std::ffi::OsStr;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

/// A directory that goes away with the test, and the path of a log in it that does not exist yet.
pub(crate) struct Place {
    root: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.path().join("log")
    }

    /// The files of the log with this extension, in the order of their ids.
    pub(crate) fn files(&self, extension: &str) -> Vec<PathBuf> {
        files(&self.log(), extension)
    }
}

pub(crate) fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension() == Some(OsStr::new(extension)))
        .collect();
    files.sort();
    files
}

/// Writes into a file in place.
pub(crate) fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    let mut file = std::fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
}

pub(crate) fn wal() -> Command {
    Command::new(env!("CARGO_BIN_EXE_wal"))
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "standard error: {}", self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(
                self.stderr.contains(word),
                "{word:?} is not in: {}",
                self.stderr
            );
        }
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap()
    }

    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

/// Runs a command to its end. Its reader may go away before all of `input` is taken.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = thread::scope(|scope| {
        scope.spawn(move || {
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    });
    Ended {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(crate) fn append(dir: &Path, options: &[&str], input: &[u8]) -> Ended {
    run(wal().arg("append").arg(dir).args(options), input)
}

pub(crate) fn cat(dir: &Path, options: &[&str]) -> Ended {
    run(wal().arg("cat").arg(dir).args(options), b"")
}

pub(crate) fn stat(dir: &Path) -> Value {
    let ended = run(wal().arg("stat").arg(dir).arg("--json"), b"");
    ended.code(0).json()
}

pub(crate) fn verify(dir: &Path) -> Ended {
    run(wal().arg("verify").arg(dir).arg("--json"), b"")
}

/// Says on the real standard error, which the test runner does not capture, that a test did not run.
pub(crate) fn skip(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

/// Whether a program can be started.
pub(crate) fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether the tests run as the user to whom permissions do not apply.
#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = Place::new();
    std::fs::metadata(place.root()).unwrap().uid() == 0
}

/// A number from the environment, to make a test longer than it is by default.
pub(crate) fn scale(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A small generator of numbers (xorshift), so that a run can be repeated.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Any bytes but a newline.
    fn bytes(&mut self, count: u64, into: &mut Vec<u8>) {
        into.extend((0..count).map(|_| match (self.next() >> 32) as u8 {
            b'\n' => b'\r',
            byte => byte,
        }));
    }
}

/// How long the lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lengths {
    /// Some 60 bytes.
    Short,
    /// Some 2 KiB, so that a thousand fill more than one small segment.
    Long,
}

/// Lines of odd content, each with its newline: empty ones, any bytes, text, and what compresses well.
pub(crate) fn odd_lines(seed: u64, count: usize, lengths: Lengths) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    let mut all = Vec::new();
    for line in 0..count {
        match numbers.below(8) {
            0 => {}
            1 => all.extend(b"\r"),
            2 => {
                let len = numbers.below(100);
                numbers.bytes(len, &mut all);
            }
            3 => all.extend(vec![b'z'; numbers.below(400) as usize]),
            4 => all.extend("zażółć gęślą jaźń \u{1F980}".as_bytes()),
            5 => all.extend([0; 17]),
            _ => all.extend(format!("line {line} of the file").as_bytes()),
        }
        if lengths == Lengths::Long && numbers.below(16) == 0 {
            numbers.bytes(32 << 10, &mut all);
        }
        all.push(b'\n');
    }
    all
}
