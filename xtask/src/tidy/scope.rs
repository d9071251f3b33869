//! Which lines of a Rust file are compiled for tests only.

use super::lexer::is_word;

/// What `#[cfg(test)]` covers in one file.
#[derive(Debug, Default)]
pub(super) struct TestScope {
    /// Half-open ranges of bytes of the code.
    ranges: Vec<(usize, usize)>,
    /// Modules in files of their own: `name` for `#[cfg(test)] mod name;`.
    pub(super) modules: Vec<String>,
}

impl TestScope {
    /// Reads code that `lexer::split` has cleared of comments and literals.
    pub(super) fn of(code: &str) -> Self {
        let mut scope = Self::default();
        if code
            .match_indices("#![cfg(")
            .any(|(at, open)| is_test(&code[at + open.len()..]))
        {
            scope.ranges.push((0, code.len()));
            return scope;
        }
        for (at, open) in code.match_indices("#[cfg(") {
            if scope.covers(at) || !is_test(&code[at + open.len()..]) {
                continue;
            }
            let item = skip_attributes(code, at);
            let end = item_end(code, item);
            scope.ranges.push((at, end));
            if let Some(name) = module_in_a_file(&code[item..end]) {
                scope.modules.push(name.to_owned());
            }
        }
        scope
    }

    /// Whether the byte at `at` is compiled for tests only.
    fn covers(&self, at: usize) -> bool {
        self.ranges
            .iter()
            .any(|(start, end)| (*start..*end).contains(&at))
    }

    /// `code` with everything that is compiled for tests only as spaces.
    pub(super) fn without_tests(&self, code: &str) -> String {
        let blank = |(at, c): (usize, char)| if c != '\n' && self.covers(at) { ' ' } else { c };
        code.char_indices().map(blank).collect()
    }
}

/// Whether a condition (what follows `cfg(`) holds in tests only.
fn is_test(condition: &str) -> bool {
    condition.starts_with("test)") || condition.starts_with("all(test,")
}

/// The place of the item behind the attributes that start at `at`.
fn skip_attributes(code: &str, mut at: usize) -> usize {
    loop {
        at += code[at..].len() - code[at..].trim_start().len();
        if !code[at..].starts_with("#[") {
            return at;
        }
        let mut depth = 0_usize;
        let close = code[at..].find(|c| {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            c == ']' && depth == 0
        });
        let Some(close) = close else {
            return code.len();
        };
        at += close + 1;
    }
}

/// The end of the item (or field, variant, statement) that starts at `item`.
fn item_end(code: &str, item: usize) -> usize {
    const ITEMS: [&str; 12] = [
        "pub", "mod", "fn", "use", "impl", "struct", "enum", "trait", "const", "static", "type",
        "unsafe",
    ];
    let first: String = code[item..].chars().take_while(|c| is_word(*c)).collect();
    let ends_at_comma = !ITEMS.contains(&first.as_str()) && first != "async";
    let mut depth = 0_usize;
    for (at, c) in code[item..].char_indices() {
        let here = item + at;
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return here,
            ')' | ']' => depth -= 1,
            '}' => {
                depth -= 1;
                if depth == 0 && !first.eq("use") {
                    return here + 1;
                }
            }
            ';' if depth == 0 => return here + 1,
            ',' if depth == 0 && ends_at_comma => return here + 1,
            _ => {}
        }
    }
    code.len()
}

/// `name`, if the item is `mod name;`.
fn module_in_a_file(item: &str) -> Option<&str> {
    let declaration = item.strip_suffix(';')?;
    let mut words = declaration.split_whitespace().rev();
    let name = words.next()?;
    (words.next() == Some("mod") && name.chars().all(is_word)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(code: &str) -> String {
        TestScope::of(code)
            .without_tests(code)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_test_module_is_covered_to_its_brace() {
        assert_eq!(
            rest("a();\n#[cfg(test)]\nmod tests { fn b() { {} } }\nfn c() {}"),
            "a(); fn c() {}"
        );
    }

    #[test]
    fn a_module_in_a_file_is_named() {
        let scope = TestScope::of("#[cfg(test)]\n#[allow(x[1])]\npub(crate) mod model;\nmod b;");
        assert_eq!(scope.modules, ["model"]);
    }

    #[test]
    fn a_use_a_function_and_a_field_are_covered() {
        assert_eq!(rest("#[cfg(test)]\nuse a::{b, c};\nuse d;"), "use d;");
        assert_eq!(
            rest("#[cfg(test)]\npub fn a<B, C>(b: [u8; 2]) -> C { d }\nfn e() {}"),
            "fn e() {}"
        );
        assert_eq!(
            rest("struct A { #[cfg(test)] b: C, d: E }"),
            "struct A { d: E }"
        );
    }

    #[test]
    fn an_inner_attribute_covers_the_file() {
        assert_eq!(rest("#![cfg(test)]\nfn a() {}"), "");
    }

    #[test]
    fn a_condition_that_can_hold_outside_tests_is_not_covered() {
        assert_eq!(
            rest("#[cfg(any(test, x))] a();"),
            "#[cfg(any(test, x))] a();"
        );
        assert_eq!(rest("#[cfg(all(test, unix))] fn a() {}"), "");
    }
}
