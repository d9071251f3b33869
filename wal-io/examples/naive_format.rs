//! A file format that loses data, found by trying every crash; and one that does not.

use std::io;

use wal_io::fault::{Chooser, Exhaustive, Fault, Moment};
use wal_io::{FaultStorage, OpenMode, Storage, StorageFileExt};

type Append = fn(&dyn Storage, &[u8]) -> io::Result<()>;

/// Appends to the file and syncs it. What can go wrong?
fn append_naive(dir: &dyn Storage, line: &[u8]) -> io::Result<()> {
    let file = match dir.open("log", OpenMode::ReadWrite) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            dir.open("log", OpenMode::CreateNew)?
        }
        opened => opened?,
    };
    file.write_all_at(line, file.len()?)?;
    file.sync_data()
}

/// The same, but the file's name is durable too before the line counts as written.
fn append_fixed(dir: &dyn Storage, line: &[u8]) -> io::Result<()> {
    append_naive(dir, line)?;
    dir.sync_dir()
}

/// A crash that loses a line whose append had returned: the number of the change at which the power
/// failed, and the choices that say what had reached the disk.
fn find_loss(append: Append) -> Option<(u64, Vec<u32>)> {
    for point in 0.. {
        let mut choices = Exhaustive::new();
        while choices.next_run() {
            let machine = FaultStorage::new();
            machine.inject(Fault::power_cut(Moment::Before).after(point));
            let mut acknowledged = 0;
            let work = machine.create().and_then(|()| {
                for line in [b"one\n", b"two\n", b"six\n"] {
                    append(&machine, line)?;
                    acknowledged += line.len();
                }
                Ok(())
            });
            if work.is_ok() {
                return None; // There are no more changes at which the power could fail.
            }
            let after = machine.crash(&mut choices).image();
            let found = after.get("log").unwrap_or(b"");
            if !found.starts_with(&b"one\ntwo\nsix\n"[..acknowledged]) {
                return Some((point, choices.trace()));
            }
        }
    }
    None
}

fn main() {
    let (point, choices) = find_loss(append_naive).expect("the naive format loses data");
    // Change 5 is the write of the second line: the file that holds the first one is not there at all.
    assert_eq!((point, choices), (5, vec![0]));
    assert_eq!(find_loss(append_fixed), None);
}
