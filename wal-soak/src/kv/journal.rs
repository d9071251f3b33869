//! What is known of the writes of a life: one file for each writing thread, which survives a kill because each entry is handed to
//! the system before the call goes on. A write has an entry before the call (it may be there), and one after it (it must be).

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::keys::{Item, WriteId};

/// What an entry says of its write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The call begins.
    Begun = 1,
    /// It has returned; it had its place in the log.
    Done = 2,
    /// It has returned, and is on stable storage.
    DoneDurable = 3,
    /// It was refused: nothing was written.
    Refused = 4,
    /// Everything up to this LSN is on stable storage. No write.
    Durable = 5,
}

/// What a write does to its item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Does {
    #[default]
    Put = 1,
    Delete = 2,
}

/// One entry. Its length divides that of a page, so a kill does not tear it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) step: Step,
    pub(crate) does: Does,
    pub(crate) item: Item,
    pub(crate) id: WriteId,
    /// LSN of its (first) record, and how many it has.
    pub(crate) lsn: u64,
    pub(crate) records: u32,
    /// When it expires, from and to, in milliseconds; 0 if it does not.
    pub(crate) expires: (u64, u64),
    /// When the entry was made.
    pub(crate) at: u64,
}

const LEN: usize = 64;

/// Milliseconds by the wall clock.
pub(crate) fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

impl Entry {
    fn bytes(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[0] = self.step as u8;
        bytes[1] = self.does as u8;
        bytes[4..8].copy_from_slice(&self.item.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.records.to_le_bytes());
        let words = [self.id.0, self.lsn, self.expires.0, self.expires.1, self.at];
        for (at, word) in words.iter().enumerate() {
            bytes[16 + at * 8..24 + at * 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn parse(bytes: &[u8; LEN]) -> Option<Self> {
        let word = |at: usize| {
            let bytes = bytes[at..].first_chunk();
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        let half = |at: usize| (word(at) & 0xFFFF_FFFF) as u32;
        Some(Self {
            step: match bytes[0] {
                1 => Step::Begun,
                2 => Step::Done,
                3 => Step::DoneDurable,
                4 => Step::Refused,
                5 => Step::Durable,
                _ => return None,
            },
            does: match bytes[1] {
                1 => Does::Put,
                2 => Does::Delete,
                _ => return None,
            },
            item: half(4),
            records: half(8),
            id: WriteId(word(16)),
            lsn: word(24),
            expires: (word(32), word(40)),
            at: word(48),
        })
    }
}

/// The file of one thread.
#[derive(Debug)]
pub(crate) struct Journal(File);

fn path(state: &Path, life: u64, thread: u64) -> PathBuf {
    state.join(format!("journal-{life}-{thread}"))
}

impl Journal {
    pub(crate) fn create(state: &Path, life: u64, thread: u64) -> io::Result<Self> {
        let path = path(state, life, thread);
        Ok(Self(
            OpenOptions::new().create(true).append(true).open(path)?,
        ))
    }

    pub(crate) fn note(&mut self, entry: &Entry) -> Result<(), String> {
        let written = self.0.write_all(&entry.bytes());
        written.map_err(|error| format!("the journal cannot be written: {error}"))
    }

    /// Everything up to `lsn` is on stable storage.
    pub(crate) fn note_durable(&mut self, lsn: u64) -> Result<(), String> {
        self.note(&Entry {
            step: Step::Durable,
            does: Does::default(),
            item: 0,
            id: WriteId::default(),
            lsn,
            records: 0,
            expires: (0, 0),
            at: wall(),
        })
    }
}

/// Reads all entries of a life, thread by thread, each in the order of its calls.
pub(crate) fn read(state: &Path, life: u64, mut take: impl FnMut(u64, Entry)) -> io::Result<()> {
    for thread in 0.. {
        let file = match File::open(path(state, life, thread)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut entries = BufReader::with_capacity(1 << 18, file);
        let mut bytes = [0; LEN];
        while entries.read_exact(&mut bytes).is_ok() {
            let entry = Entry::parse(&bytes);
            let entry =
                entry.ok_or_else(|| io::Error::other("an entry of the journal is damaged"))?;
            take(thread, entry);
        }
    }
    Ok(())
}

/// Removes the files of all lives.
pub(crate) fn remove_all(state: &Path) -> io::Result<()> {
    for entry in fs::read_dir(state)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("journal-") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_noted() {
        let place = tempfile::tempdir().expect("a directory");
        let entry = |step, id| Entry {
            step,
            does: Does::Delete,
            item: 9,
            id: WriteId(id),
            lsn: 7,
            records: 3,
            expires: (5, 6),
            at: 11,
        };
        let noted = [entry(Step::Begun, 1), entry(Step::DoneDurable, 1)];
        let mut journal = Journal::create(place.path(), 4, 0).expect("a journal");
        for entry in &noted {
            journal.note(entry).expect("noted");
        }
        let mut found = Vec::new();
        read(place.path(), 4, |_, entry| found.push(entry)).expect("read");
        assert_eq!(found, noted);
        remove_all(place.path()).expect("removed");
        read(place.path(), 4, |_, _| panic!("nothing is left")).expect("read");
    }
}
