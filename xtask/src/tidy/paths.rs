//! The paths that Rust code names: `std::{sync::Mutex, thread}` names `std::sync::Mutex` and
//! `std::thread`.

use std::collections::BTreeSet;

use super::lexer::is_word;

/// A path and its line, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) path: String,
    pub(super) line: usize,
    /// In a `use`: the name that it gives to the file.
    pub(super) imported: Option<Imported>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Imported {
    pub(super) name: String,
    /// For other files too: `pub use`, `pub(crate) use`.
    pub(super) again: bool,
}

impl Named {
    /// Whether this is `prefix` or something below it.
    pub(super) fn is_in(&self, prefix: &str) -> bool {
        self.path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }

    pub(super) fn is_imported_as(&self, name: &str) -> bool {
        let imported = self.imported.as_ref();
        imported.is_some_and(|imported| imported.name == name)
    }
}

/// Every path of two or more segments in code that `lexer::split` has cleared.
pub(super) fn named(code: &str) -> Vec<Named> {
    let mut reader = Reader {
        tokens: tokens(code),
        at: 0,
        import: None,
        found: Vec::new(),
    };
    while reader.at < reader.tokens.len() {
        match reader.tokens[reader.at].0 {
            Token::Word("use") => {
                let before = reader.at.checked_sub(1).map(|at| &reader.tokens[at].0);
                let again = matches!(before, Some(Token::Word("pub") | Token::Other(')')));
                reader.at += 1;
                reader.import = Some(again);
                reader.tree("");
                reader.import = None;
            }
            Token::Word(_) => reader.tree(""),
            _ => reader.at += 1,
        }
    }
    reader
        .found
        .retain(|named| named.path.contains("::") || named.imported.is_some());
    reader.found
}

/// The names of the items that a file defines outside of functions and blocks.
pub(super) fn defined(code: &str) -> BTreeSet<&str> {
    let mut names = types(code);
    let others = ["fn", "const", "static", "mod", "macro_rules"];
    names.extend(items(code, &others));
    names
}

/// Those that are types.
pub(super) fn types(code: &str) -> BTreeSet<&str> {
    items(code, &["struct", "enum", "union", "trait", "type"])
}

/// Those that one of these words begins.
fn items<'a>(code: &'a str, kinds: &[&str]) -> BTreeSet<&'a str> {
    let tokens: Vec<_> = tokens(code).into_iter().map(|(token, _)| token).collect();
    let mut depth = 0_usize;
    let mut names = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let mut after = tokens[at + 1..]
            .iter()
            .filter(|next| **next != Token::Other('!'));
        match token {
            Token::Other('{') => depth += 1,
            Token::Other('}') => depth = depth.saturating_sub(1),
            Token::Word(word) if depth == 0 && kinds.contains(word) => {
                let (name, next) = (after.next(), after.next());
                let elsewhere = *word == "mod" && next == Some(&Token::Other(';'));
                match name {
                    // `const fn`
                    Some(Token::Word(name)) if !elsewhere && *name != "fn" => {
                        names.insert(*name);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    names
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
    /// Within a `use`: whether it is for other files too.
    import: Option<bool>,
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
        let last = path.rsplit("::").next().unwrap_or(&path).to_owned();
        let imported = self.import.map(|again| Imported {
            name: self.alias().unwrap_or(last),
            again,
        });
        self.found.push(Named {
            path,
            line,
            imported,
        });
    }

    /// Reads `as name`.
    fn alias(&mut self) -> Option<String> {
        let (Token::Word("as"), _) = self.tokens.get(self.at)? else {
            return None;
        };
        let (Token::Word(name), _) = self.tokens.get(self.at + 1)? else {
            return None;
        };
        self.at += 2;
        Some((*name).to_owned())
    }

    /// Reads `a, b::c}` with `prefix` before each.
    fn group(&mut self, prefix: &str) {
        while let Some((token, _)) = self.tokens.get(self.at) {
            match token {
                Token::Word(_) | Token::Other('*') => self.tree(prefix),
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
            imported: None,
        };
        assert!(named.is_in("std::thread"));
        assert!(!named.is_in("std::thr"));
    }

    #[test]
    fn an_import_gives_a_name() {
        let code = "pub(crate) use a::{b as c, d::{self, E}};\nuse f as g;\nuse h::i;";
        let names: Vec<_> = named(code)
            .into_iter()
            .filter_map(|named| {
                let Imported { name, again } = named.imported?;
                Some((named.path, name, again))
            })
            .collect();
        let of = |path: &str, name: &str, again| (path.to_owned(), name.to_owned(), again);
        assert_eq!(
            names,
            [
                of("a::b", "c", true),
                of("a::d", "d", true),
                of("a::d::E", "E", true),
                of("f", "g", false),
                of("h::i", "i", false),
            ]
        );
    }

    #[test]
    fn items_of_a_file_are_those_outside_of_blocks() {
        let code = "pub(crate) const fn a() { fn b() {} }\nstruct C<T>(T);\nmod d;\nmod e { fn f() {} }\n\
                    macro_rules! g { () => {} }\nimpl C { fn h() {} }\nconst I: fn() = a;";
        assert_eq!(
            defined(code).into_iter().collect::<Vec<_>>(),
            ["C", "I", "a", "e", "g"]
        );
        assert_eq!(types(code).into_iter().collect::<Vec<_>>(), ["C"]);
    }
}
