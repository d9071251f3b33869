//! Lines of any bytes from a reader, one at a time, without ever holding more than one line and a piece of the next.

use std::io::{self, BufRead, Read};

/// Read at a time.
const PIECE: usize = 256 << 10;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A line without its `\n`; the last one need not have had one.
    Whole(&'a [u8]),
    /// The line is longer than the limit. The reader has ended.
    TooLong,
    /// There are no more.
    End,
}

/// Splits what it reads at each `\n`.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    input: R,
    /// Most bytes of a line.
    limit: usize,
    buffer: Vec<u8>,
    /// Where the bytes that were not returned yet begin and end.
    start: usize,
    end: usize,
    ended: bool,
    bytes: u64,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(input: R, limit: usize) -> Self {
        Self {
            input,
            limit,
            buffer: vec![0; PIECE],
            start: 0,
            end: 0,
            ended: false,
            bytes: 0,
        }
    }

    /// Bytes of the lines returned so far, with what ended them.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line. Reads only when no whole line is left from an earlier read.
    pub(crate) fn next_line(&mut self) -> io::Result<Line<'_>> {
        let mut searched = self.start;
        loop {
            let skipped = (&self.buffer[searched..self.end]).skip_until(b'\n')?;
            searched += skipped;
            let found = skipped > 0 && self.buffer[searched - 1] == b'\n';
            let (start, end) = (self.start, searched - usize::from(found));
            if end - start > self.limit {
                return Ok(Line::TooLong);
            }
            if found || (self.ended && end > start) {
                self.start = searched;
                self.bytes += (searched - start) as u64;
                return Ok(Line::Whole(&self.buffer[start..end]));
            }
            if self.ended {
                return Ok(Line::End);
            }
            self.make_room();
            searched = self.end;
            self.read()?;
        }
    }

    fn make_room(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            let most = self.limit + PIECE;
            self.buffer.resize((self.end * 2).min(most), 0);
        }
    }

    fn read(&mut self) -> io::Result<()> {
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn all(bytes: &[u8], piece: usize, limit: usize) -> (Vec<Vec<u8>>, bool) {
        let mut lines = Lines::new(Pieces { bytes, piece }, limit);
        let mut whole = Vec::new();
        loop {
            match lines.next_line().unwrap() {
                Line::Whole(line) => whole.push(line.to_vec()),
                Line::TooLong => return (whole, true),
                Line::End => {
                    assert_eq!(lines.bytes(), bytes.len() as u64);
                    return (whole, false);
                }
            }
        }
    }

    #[test]
    fn a_line_loses_exactly_one_newline() {
        let input = b"a\n\n\r\nb\xFF\0c\n\nlast";
        let expected: Vec<Vec<u8>> = [&b"a"[..], b"", b"\r", b"b\xFF\0c", b"", b"last"]
            .map(<[u8]>::to_vec)
            .into();
        for piece in 1..=input.len() {
            assert_eq!(all(input, piece, 100), (expected.clone(), false));
        }
    }

    #[test]
    fn nothing_is_no_line_and_a_newline_is_one() {
        assert_eq!(all(b"", 1, 10), (vec![], false));
        assert_eq!(all(b"\n", 1, 10), (vec![vec![]], false));
    }

    #[test]
    fn a_line_at_the_limit_is_whole_and_one_above_it_is_too_long() {
        for piece in 1..=16 {
            let at = (vec![b"abcd".to_vec(), b"efgh".to_vec()], false);
            assert_eq!(all(b"abcd\nefgh", piece, 4), at);
            let above = (vec![b"abc".to_vec()], true);
            assert_eq!(all(b"abc\ndefgh\nx\n", piece, 4), above);
            assert_eq!(all(b"abc\ndefgh", piece, 4), above);
        }
    }

    #[test]
    fn a_long_line_grows_the_buffer_up_to_the_limit() {
        let limit = 5 * PIECE + 7;
        let mut input = vec![b'x'; limit];
        input.extend(b"\nshort\n");
        let (lines, too_long) = all(&input, 4096, limit);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].len(), limit);
        assert!(!too_long);

        let endless = io::repeat(b'x');
        let mut lines = Lines::new(endless, limit);
        assert_eq!(lines.next_line().unwrap(), Line::TooLong);
        assert!(lines.buffer.len() <= limit + PIECE);
    }
}
