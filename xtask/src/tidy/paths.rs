//! The paths that Rust code names: `std::{sync::Mutex, thread}` names `std::sync::Mutex` and
//! `std::thread`.

use super::lexer::is_word;

/// A path and its line, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) path: String,
    pub(super) line: usize,
}

impl Named {
    /// Whether this is `prefix` or something below it.
    pub(super) fn is_in(&self, prefix: &str) -> bool {
        self.path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }
}

/// Every path of two or more segments in code that `lexer::split` has cleared.
pub(super) fn named(code: &str) -> Vec<Named> {
    let mut reader = Reader {
        tokens: tokens(code),
        at: 0,
        found: Vec::new(),
    };
    while reader.at < reader.tokens.len() {
        if matches!(reader.tokens[reader.at].0, Token::Word(_)) {
            reader.tree("");
        } else {
            reader.at += 1;
        }
    }
    reader.found.retain(|named| named.path.contains("::"));
    reader.found
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Separator,
    Other(char),
}

fn tokens(code: &str) -> Vec<(Token<'_>, usize)> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        let length = if is_word(c) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            c.len_utf8()
        };
        let (text, behind) = rest.split_at(length);
        rest = behind;
        match text {
            "\n" => line += 1,
            "::" => tokens.push((Token::Separator, line)),
            _ if is_word(c) => tokens.push((Token::Word(text), line)),
            _ if c.is_whitespace() => {}
            _ => tokens.push((Token::Other(c), line)),
        }
    }
    tokens
}

struct Reader<'a> {
    tokens: Vec<(Token<'a>, usize)>,
    at: usize,
    found: Vec<Named>,
}

impl Reader<'_> {
    /// Reads one path, with the tree of a `use` below it, from the word at `at`.
    fn tree(&mut self, prefix: &str) {
        let mut path = prefix.to_owned();
        let mut line = 0;
        loop {
            match self.tokens.get(self.at) {
                Some((Token::Word(word), here)) => {
                    line = *here;
                    path = join(&path, word);
                }
                Some((Token::Other('*'), here)) if !path.is_empty() => {
                    line = *here;
                    path = join(&path, "*");
                }
                Some((Token::Other('{'), _)) if !path.is_empty() => {
                    self.at += 1;
                    return self.group(&path);
                }
                _ => break,
            }
            self.at += 1;
            if self
                .tokens
                .get(self.at)
                .is_none_or(|(token, _)| *token != Token::Separator)
            {
                break;
            }
            self.at += 1;
        }
        self.found.push(Named { path, line });
    }

    /// Reads `a, b::c}` with `prefix` before each.
    fn group(&mut self, prefix: &str) {
        while let Some((token, _)) = self.tokens.get(self.at) {
            match token {
                Token::Word(_) | Token::Other('*') => {
                    self.tree(prefix);
                    // An alias (`as name`) names nothing.
                    while matches!(self.tokens.get(self.at), Some((Token::Word(_), _))) {
                        self.at += 1;
                    }
                }
                Token::Other('}') => {
                    self.at += 1;
                    return;
                }
                _ => self.at += 1,
            }
        }
    }
}

fn join(path: &str, segment: &str) -> String {
    match (path, segment) {
        ("", _) => segment.to_owned(),
        (_, "self") => path.to_owned(),
        _ => format!("{path}::{segment}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(code: &str) -> Vec<String> {
        named(code)
            .into_iter()
            .map(|named| format!("{}@{}", named.path, named.line))
            .collect()
    }

    #[test]
    fn a_use_tree_is_flattened() {
        let code = "use std::{\n  sync::{Arc, atomic::{self, AtomicU64 as A}},\n  thread,\n};";
        assert_eq!(
            paths(code),
            [
                "std::sync::Arc@2",
                "std::sync::atomic@2",
                "std::sync::atomic::AtomicU64@2",
                "std::thread@3"
            ]
        );
    }

    #[test]
    fn a_path_in_an_expression_is_named() {
        assert_eq!(
            paths("let a = std::thread::spawn(b);"),
            ["std::thread::spawn@1"]
        );
        assert_eq!(paths("use a::*;"), ["a::*@1"]);
        assert_eq!(paths("a * b; {c}"), Vec::<String>::new());
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        let named = Named {
            path: "std::thread::spawn".into(),
            line: 1,
        };
        assert!(named.is_in("std::thread"));
        assert!(!named.is_in("std::thr"));
    }
}
