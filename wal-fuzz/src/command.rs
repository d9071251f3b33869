//! What the command `wal` parses: values as they are typed, lines, and names of files.
//!
//! The command is a program without a library, and stays one: its parsers are taken by path, and are no one's API.
//! Deliberately absent: the command line itself, which clap parses.

use std::io::{self, Read};

use clap::ValueEnum;
use wal_core::FsyncPolicy;
use wal_format::{FileName, segment_name, spare_name, temporary_name};

#[path = "../../wal-cli/src/lines.rs"]
mod lines;
#[path = "../../wal-cli/src/values.rs"]
mod values;

use lines::{Line, Lines};

/// The first byte says whose text the others are.
pub fn command(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    if let (0..=3, Ok(text)) = (mode % 5, std::str::from_utf8(rest)) {
        match mode % 5 {
            0 => size(text),
            1 => policy(text),
            2 => name(text),
            _ => {
                compression(text);
                format_version(text);
            }
        }
    } else if let Some(([piece, limit], input)) = rest.split_first_chunk() {
        split(input, usize::from(*piece) + 1, usize::from(*limit));
    }
}

fn size(text: &str) {
    let Ok(bytes) = values::size(text) else {
        return;
    };
    assert_eq!(values::size(&bytes.to_string()), Ok(bytes));
    let digits = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let number: u64 = digits.parse().expect("a whole number before the unit");
    assert!(
        number == 0 || bytes.is_multiple_of(number),
        "{text} is {bytes}"
    );
    assert!(bytes >= number, "{text} is {bytes}");
}

fn policy(text: &str) {
    match values::policy(text) {
        Ok(FsyncPolicy::Always) => assert_eq!(text, "always"),
        Ok(FsyncPolicy::Os) => assert_eq!(text, "os"),
        Ok(FsyncPolicy::Batch(window)) => {
            assert!(text.starts_with("batch:"), "{text}");
            let Ok(micros) = u64::try_from(window.as_micros()) else {
                return;
            };
            let again = values::policy(&format!("batch:{micros}us"));
            assert_eq!(again, Ok(FsyncPolicy::Batch(window)));
        }
        Ok(other) => panic!("{text} is {other:?}"),
        Err(why) => assert!(!why.is_empty()),
    }
}

fn compression(text: &str) {
    if let Ok(parsed) = values::Compression::from_str(text, false) {
        let known = wal_core::Compression::from(parsed);
        assert_eq!(format!("{known:?}").to_lowercase(), text);
    }
}

fn format_version(text: &str) {
    if let Ok(version) = values::format_version(text) {
        let number = version.get().to_string();
        assert!(text.ends_with(&number), "{text} is {number}");
        assert_eq!(values::format_version(&number), Ok(version));
    }
}

fn name(text: &str) {
    let again = match FileName::parse(text) {
        FileName::Segment(id) => segment_name(id),
        FileName::Spare(id) => spare_name(id),
        FileName::Temporary(id) => temporary_name(id),
        _ => return,
    };
    assert_eq!(again, text);
}

/// Gives `bytes` in pieces of `piece`.
struct Pieces<'a> {
    bytes: &'a [u8],
    piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.piece.min(buffer.len()).min(self.bytes.len());
        let (now, later) = self.bytes.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.bytes = later;
        Ok(count)
    }
}

/// Lines are what splitting at each newline gives, up to the first that is too long.
fn split(input: &[u8], piece: usize, limit: usize) {
    let mut expected: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    // What follows the last newline is a line only if there is something.
    if expected.last().is_some_and(|last| last.is_empty()) {
        expected.pop();
    }
    let mut lines = Lines::new(
        Pieces {
            bytes: input,
            piece,
        },
        limit,
    );
    let mut bytes = 0;
    for line in expected {
        let next = lines.next_line().expect("a reader in memory");
        if line.len() > limit {
            assert_eq!(next, Line::TooLong);
            return;
        }
        assert_eq!(next, Line::Whole(line));
        bytes = (bytes + line.len() as u64 + 1).min(input.len() as u64);
        assert_eq!(lines.bytes(), bytes);
    }
    assert_eq!(lines.next_line().expect("a reader in memory"), Line::End);
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let text = |mode: u8, text: &str| [&[mode], text.as_bytes()].concat();
    vec![
        text(0, "128MiB"),
        text(0, "18446744073709551615KiB"),
        text(0, "100mb"),
        text(1, "always"),
        text(1, "batch:250us"),
        text(1, "batch:18446744073709551615s"),
        text(2, "00000000000000000001.wal"),
        text(2, "18446744073709551615.spare"),
        text(3, "zstd"),
        text(4, "\0\u{8}one\ntwo\n\nfour, too long"),
    ]
}
