//! Splits Rust source into code and comments, so that a rule about one does not trip over the
//! other, nor over the text of a string.
//!
//! Both halves keep the line structure of the source: what belongs to the other half is a space.
//! The quotes of strings and characters stay in the code, what stands between them does not.

/// A source file, twice.
#[derive(Debug, Default)]
pub(super) struct Split {
    /// Without comments and without the text of literals.
    pub(super) code: String,
    /// The comments, doc comments among them, and nothing else.
    pub(super) comments: String,
}

pub(super) fn split(text: &str) -> Split {
    let mut lexer = Lexer {
        chars: text.chars().collect(),
        at: 0,
        out: Split::default(),
    };
    while lexer.at < lexer.chars.len() {
        lexer.step();
    }
    lexer.out
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    out: Split,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Code,
    Comment,
    Neither,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Moves `count` characters to the half that they belong to.
    fn take(&mut self, half: Half, count: usize) {
        for _ in 0..count {
            let Some(c) = self.peek(0) else { return };
            self.at += 1;
            let blank = if c == '\n' { '\n' } else { ' ' };
            self.out
                .code
                .push(if half == Half::Code { c } else { blank });
            self.out
                .comments
                .push(if half == Half::Comment { c } else { blank });
        }
    }

    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            (Some('/'), Some('/')) => self.line_comment(),
            (Some('/'), Some('*')) => self.block_comment(),
            (Some('"'), _) => self.string(),
            (Some('\''), _) => self.character_or_lifetime(),
            (Some(c), _) if is_word(c) => self.word(),
            _ => self.take(Half::Code, 1),
        }
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.take(Half::Comment, 1);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => {
                    depth += 1;
                    self.take(Half::Comment, 2);
                }
                (Some('*'), Some('/')) => {
                    depth -= 1;
                    self.take(Half::Comment, 2);
                }
                _ => self.take(Half::Comment, 1),
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.take(Half::Code, 1);
        loop {
            match self.peek(0) {
                None => return,
                Some('\\') => self.take(Half::Neither, 2),
                Some('"') => return self.take(Half::Code, 1),
                Some(_) => self.take(Half::Neither, 1),
            }
        }
    }

    fn character_or_lifetime(&mut self) {
        match (self.peek(1), self.peek(2)) {
            (Some('\\'), _) => {
                self.take(Half::Code, 1);
                self.take(Half::Neither, 2);
                while self.peek(0).is_some_and(|c| c != '\'') {
                    self.take(Half::Neither, 1);
                }
                self.take(Half::Code, 1);
            }
            (Some(_), Some('\'')) => {
                self.take(Half::Code, 1);
                self.take(Half::Neither, 1);
                self.take(Half::Code, 1);
            }
            _ => self.take(Half::Code, 1),
        }
    }

    /// An identifier or a number; or the prefix of a raw string, which has no escapes.
    fn word(&mut self) {
        let length = self.chars[self.at..]
            .iter()
            .take_while(|c| is_word(**c))
            .count();
        let word: String = self.chars[self.at..self.at + length].iter().collect();
        self.take(Half::Code, length);
        if !matches!(word.as_str(), "r" | "br" | "cr") {
            return;
        }
        let hashes = self.chars[self.at..]
            .iter()
            .take_while(|c| **c == '#')
            .count();
        if self.peek(hashes) != Some('"') {
            return;
        }
        self.take(Half::Code, hashes + 1);
        while self.at < self.chars.len() {
            let closes = self.peek(0) == Some('"')
                && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#'));
            if closes {
                return self.take(Half::Code, hashes + 1);
            }
            self.take(Half::Neither, 1);
        }
    }
}

/// Whether `c` can stand inside an identifier.
pub(super) fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The lines (from 1) of `code` where `needle` stands as a word of its own: `println!` is not
/// found in `eprintln!`.
pub(super) fn lines_with_word(code: &str, needle: &str) -> Vec<usize> {
    let found = |line: &str| {
        line.match_indices(needle).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + needle.len()..].chars().next();
            let open_start = needle.starts_with(is_word) && before.is_some_and(is_word);
            let open_end = needle.ends_with(is_word) && after.is_some_and(is_word);
            !open_start && !open_end
        })
    };
    let numbered = code.lines().enumerate();
    numbered
        .filter(|(_, line)| found(line))
        .map(|(index, _)| index + 1)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        split(text).code
    }

    #[test]
    fn comments_leave_the_code() {
        let split = split("a // b\n/* c /* d */ e\n*/ f");
        assert_eq!(split.code, "a     \n              \n   f");
        assert_eq!(split.comments, "  // b\n/* c /* d */ e\n*/  ");
    }

    #[test]
    fn the_text_of_strings_leaves_the_code() {
        assert_eq!(code(r#"f("a // \" b") + 1"#), r#"f("         ") + 1"#);
        assert_eq!(code("f(b\"x\", c\"y\")"), "f(b\" \", c\" \")");
    }

    #[test]
    fn a_raw_string_ends_at_its_own_hashes() {
        assert_eq!(code("r#\"a\" \\ b\"# + 1"), "r#\"      \"# + 1");
        assert_eq!(code("r#type + 1"), "r#type + 1");
    }

    #[test]
    fn a_lifetime_is_not_a_character() {
        assert_eq!(
            code("f::<'a>('\"', b'\\'', 'x')"),
            "f::<'a>(' ', b'  ', ' ')"
        );
    }

    #[test]
    fn an_unfinished_file_ends_the_split() {
        for text in ["\"a", "/* a", "'", "r#\"a", "'\\", "\"\\"] {
            assert_eq!(code(text).chars().count(), text.chars().count(), "{text}");
        }
    }

    #[test]
    fn a_word_is_found_as_a_whole() {
        assert_eq!(
            lines_with_word("eprintln!()\nprintln!()\n", "println!"),
            [2]
        );
        assert_eq!(
            lines_with_word("a.unwrap()\na.unwrap_or(b)", ".unwrap()"),
            [1]
        );
    }
}
