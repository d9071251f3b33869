//! Directories that are no log, or may not be used.

use std::fs;
#[cfg(unix)]
use std::io::Write;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;

use wal_core::blocking::Wal;
use wal_core::{Error, SegmentId};

use super::place::{Place, assert_names, assert_says, config};

#[test]
fn a_directory_with_files_that_are_not_a_logs() {
    for name in [
        "notes.txt",
        "1.wal",
        "00000000000000000000.wal",
        "00000000000000000005.log",
        "00000000000000000005.wal.bak",
        "LOCK",
        // Above them there would be no number for the next segment.
        "18446744073709551615.wal",
        "18446744073709551614.tmp",
    ] {
        // In an empty directory, and among a log's files.
        for place in [Place::empty(), Place::with_a_log()] {
            fs::create_dir_all(place.path()).expect("a directory");
            fs::write(place.path().join(name), b"precious").expect("written");
            for error in place.refused() {
                assert!(matches!(error, Error::NotALog { .. }), "{error:?}");
                assert_says(&error, &["not a log", name, "name another directory"]);
            }
        }
    }
}

#[test]
fn files_that_anyone_may_leave_are_ignored() {
    let place = Place::with_a_log();
    fs::write(place.path().join(".DS_Store"), b"x").expect("written");
    fs::create_dir(place.path().join("lost+found")).expect("made");
    let wal = place.open().expect("a log");
    assert_eq!(wal.last_lsn().get(), 26);
    wal.close().expect("closed");
    assert!(place.path().join(".DS_Store").exists());
}

#[test]
fn a_directory_where_a_file_should_be() {
    let place = Place::with_a_log();
    let name = wal_format::segment_name(SegmentId::new(5));
    fs::create_dir(place.path().join(&name)).expect("made");
    for error in place.refused() {
        assert!(matches!(error, Error::NotALog { .. }), "{error:?}");
        assert_says(&error, &[&name]);
    }
}

#[test]
fn a_file_instead_of_a_directory() {
    let place = Place::empty();
    fs::write(place.path(), b"precious").expect("written");
    for error in place.refused() {
        assert!(matches!(error, Error::NotALog { .. }), "{error:?}");
        assert_says(&error, &["it is a file"]);
    }
    assert_eq!(fs::read(place.path()).expect("a file"), b"precious");
}

#[test]
fn a_file_on_the_way_to_the_directory() {
    let place = Place::empty();
    let file = place.root.path().join("file");
    fs::write(&file, b"precious").expect("written");
    let before = place.image();
    let error = Wal::open(file.join("log"), config()).expect_err("it is refused");
    assert_names(&error, &file);
    assert!(
        matches!(error, Error::NotALog { .. } | Error::Io { .. }),
        "{error:?}"
    );
    assert!(place.image() == before);
}

#[test]
fn a_directory_that_is_not_there_or_empty_opened_read_only() {
    let place = Place::empty();
    for make in [false, true] {
        if make {
            fs::create_dir(place.path()).expect("made");
        }
        let before = place.image();
        let error = place.look().expect_err("there is no log");
        assert!(matches!(error, Error::NotALog { .. }), "{error:?}");
        assert_names(&error, &place.path());
        assert_says(&error, &["open it for writing"]);
        assert!(place.image() == before);
        assert_eq!(place.path().exists(), make);
    }
}

/// Whether permissions mean nothing to this user.
#[cfg(unix)]
fn is_privileged(place: &Place) -> bool {
    let probe = place.root.path().join("probe");
    fs::create_dir(&probe).expect("made");
    fs::set_permissions(&probe, fs::Permissions::from_mode(0o555)).expect("set");
    fs::write(probe.join("file"), b"").is_ok()
}

/// Past the capture of the test's output.
#[cfg(unix)]
fn skip(why: &str) {
    writeln!(std::io::stderr(), "skipped: {why}").expect("told");
}

#[cfg(unix)]
#[test]
fn a_read_only_directory() {
    let place = Place::with_a_log();
    if is_privileged(&place) {
        return skip("this user may write to a read-only directory");
    }
    let set = |mode| {
        fs::set_permissions(place.path(), fs::Permissions::from_mode(mode)).expect("set");
    };
    // Neither its files nor the lock may be touched.
    fs::remove_file(place.path().join("lock")).expect("removed");
    set(0o555);
    let before = place.image();
    let error = place.open().expect_err("it is refused");
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert_names(&error, &place.path());
    assert_says(&error, &["may this user write"]);
    // Who only reads may.
    assert_eq!(place.look().expect("looked at").last_lsn().get(), 26);
    assert!(place.image() == before);
    set(0o755);
    assert_eq!(place.open().expect("a log").last_lsn().get(), 26);
}

#[cfg(unix)]
#[test]
fn a_directory_that_may_not_be_read() {
    let place = Place::with_a_log();
    if is_privileged(&place) {
        return skip("this user may read any directory");
    }
    let set = |mode| {
        fs::set_permissions(place.path(), fs::Permissions::from_mode(mode)).expect("set");
    };
    set(0o000);
    for opened in [place.open(), place.look()] {
        let error = opened.expect_err("it is refused");
        assert!(matches!(error, Error::Io { .. }), "{error:?}");
        assert_names(&error, &place.path());
    }
    set(0o755);
    assert_eq!(place.open().expect("a log").last_lsn().get(), 26);
}

#[test]
fn an_empty_directory_is_no_log_to_repair() {
    let dir = tempfile::tempdir().expect("a directory");
    for mode in [wal_core::RepairMode::DryRun, wal_core::RepairMode::Apply] {
        let outcome = wal_core::Offline::at(dir.path()).repair(mode);
        assert!(matches!(outcome, Err(Error::NotALog { .. })), "{outcome:?}");
        let left = fs::read_dir(dir.path()).expect("listed").count();
        assert_eq!(left, 0, "no file was made");
    }
}
