//! The parts of a `Cargo.toml` that the rules read. Not a TOML parser: the manifests here are
//! written by hand, one key a line.

/// A line `key = value` under a `[table]`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) table: &'a str,
    pub(super) key: &'a str,
    pub(super) value: &'a str,
    /// From 1.
    pub(super) line: usize,
}

/// The entries of a manifest, in their order. `[a.b]` followed by `c = 1` has the table `a.b`.
pub(super) fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut table = "";
    let mut entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            table = name;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            entries.push(Entry {
                table,
                key: key.trim(),
                value: value.trim(),
                line: index + 1,
            });
        }
    }
    entries
}

/// A crate that a manifest depends on, in any table of dependencies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dependency<'a> {
    pub(super) name: &'a str,
    pub(super) line: usize,
}

pub(super) fn dependencies(text: &str) -> Vec<Dependency<'_>> {
    let mut found: Vec<Dependency<'_>> = Vec::new();
    for entry in entries(text) {
        let name = match dependency_table(entry.table) {
            // `[dependencies]` and `name = ...` or `name.workspace = true`.
            Some("") => entry.key.split('.').next().unwrap_or(entry.key),
            // `[dependencies.name]`.
            Some(name) => name,
            None => continue,
        };
        let name = renamed(entry.value).unwrap_or(name).trim_matches('"');
        if found.last().is_none_or(|last| last.name != name) {
            found.push(Dependency {
                name,
                line: entry.line,
            });
        }
    }
    found
}

/// What stands behind `dependencies` in the name of a table of dependencies: "" or a crate.
fn dependency_table(table: &str) -> Option<&str> {
    if table.starts_with("workspace.") {
        return None;
    }
    let (before, after) = table.split_once("dependencies")?;
    let known = ["", "dev-", "build-"].iter().any(|kind| {
        before == *kind
            || before
                .strip_suffix(kind)
                .is_some_and(|rest| rest.ends_with('.'))
    });
    known.then(|| after.trim_start_matches('.'))
}

/// The crate's own name in `{ package = "name", ... }`.
fn renamed(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("package")?;
    rest.trim_start()
        .strip_prefix('=')?
        .trim_start()
        .strip_prefix('"')?
        .split('"')
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_of_every_table_are_found() {
        let text = "[package]\nname = \"a\"\n[dependencies]\nb.workspace = true\nc = { path = \"c\" }\n\
                    [dependencies.d]\nversion = \"1\"\nfeatures = []\n\
                    [target.\"cfg(unix)\".dev-dependencies]\ne = { package = \"f\", version = \"1\" }\n\
                    [features]\ng = [\"dep:b\"]\n";
        let names: Vec<&str> = dependencies(text).iter().map(|found| found.name).collect();
        assert_eq!(names, ["b", "c", "d", "f"]);
        assert_eq!(dependencies(text)[1].line, 5);
    }

    #[test]
    fn the_workspace_table_is_no_dependency() {
        assert!(dependencies("[workspace.dependencies]\na = \"1\"\n").is_empty());
    }

    #[test]
    fn a_comment_is_no_entry() {
        assert!(entries("[a]\n# b = c\n").is_empty());
    }
}
