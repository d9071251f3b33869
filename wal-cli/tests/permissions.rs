//! Directories that the user may not write, read or make. Root may do all of that, so as root the command runs as another user.

#![cfg(target_os = "linux")]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::{Ended, Place, append, cat, is_root, run, skip, stat};

/// A place where the command runs as a user to whom permissions apply.
struct Guarded {
    place: Place,
    root: bool,
}

impl Guarded {
    fn new(test: &str) -> Option<Self> {
        let guarded = Self {
            place: Place::new(),
            root: is_root(),
        };
        // The user need not be able to reach the directory where the command was built.
        fs::copy(env!("CARGO_BIN_EXE_wal"), guarded.place.root().join("wal")).unwrap();
        set_mode(guarded.place.root(), 0o755);
        if guarded.root {
            let tried = guarded.command().arg("--version").output();
            if !tried.is_ok_and(|output| output.status.success()) {
                skip(
                    test,
                    "this is root, and setpriv cannot run the command as another user",
                );
                return None;
            }
        }
        append(&guarded.place.log(), &[], b"one\n").code(0);
        Some(guarded)
    }

    fn command(&self) -> Command {
        let wal = self.place.root().join("wal");
        if !self.root {
            return Command::new(wal);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(wal);
        command
    }

    fn run(&self, subcommand: &str, dir: &Path) -> Ended {
        run(self.command().arg(subcommand).arg(dir), b"two\n")
    }
}

impl Drop for Guarded {
    /// Lets the directory be removed.
    fn drop(&mut self) {
        set_mode(self.place.root(), 0o755);
        set_mode(&self.place.log(), 0o755);
    }
}

fn set_mode(path: &Path, mode: u32) {
    let _ = fs::set_permissions(path, Permissions::from_mode(mode));
}

#[test]
fn a_directory_that_may_be_read_but_not_written() {
    let Some(guarded) = Guarded::new("a_directory_that_may_be_read_but_not_written") else {
        return;
    };
    let log = guarded.place.log();
    for file in fs::read_dir(&log).unwrap() {
        set_mode(&file.unwrap().path(), 0o444);
    }
    set_mode(&log, 0o555);
    let names = || fs::read_dir(&log).unwrap().count();
    let before = names();
    guarded.run("append", &log).code(1).says(&[
        "locking the directory",
        "may this user write there?",
        "denied",
    ]);
    for (subcommand, stdout) in [
        ("cat", "one\n"),
        ("stat", "segments"),
        ("verify", "verdict"),
    ] {
        let ended = guarded.run(subcommand, &log).code(0);
        assert!(ended.text().starts_with(stdout));
    }
    assert_eq!(names(), before);
}

#[test]
fn a_directory_that_may_not_be_read() {
    let Some(guarded) = Guarded::new("a_directory_that_may_not_be_read") else {
        return;
    };
    let log = guarded.place.log();
    set_mode(&log, 0o000);
    for subcommand in ["append", "cat", "stat", "verify"] {
        guarded
            .run(subcommand, &log)
            .code(1)
            .says(&["denied", &log.display().to_string()]);
    }
    set_mode(&log, 0o755);
    assert_eq!(cat(&log, &[]).stdout, b"one\n");
    assert_eq!(stat(&log)["records"], 1);
}

#[test]
fn a_directory_that_may_not_be_made() {
    let Some(guarded) = Guarded::new("a_directory_that_may_not_be_made") else {
        return;
    };
    set_mode(guarded.place.root(), 0o555);
    let new = guarded.place.root().join("new");
    guarded
        .run("append", &new)
        .code(1)
        .says(&["creating the directory", "denied"]);
    assert!(!new.exists());
}
