//! The hunks of a unified diff.

use std::ops::Range;

use anyhow::Context as _;

/// One place that a patch changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hunk {
    pub(super) file: String,
    /// Lines after their mark: `-` goes, `+` comes, a space stays.
    lines: Vec<(char, String)>,
}

/// Lines of the clean file that `lines` replace.
pub(super) struct Edit<'a> {
    pub(super) at: Range<usize>,
    pub(super) lines: Vec<&'a str>,
}

impl Hunk {
    /// The names in the calls of the switch: `sabotage::is("NAME")`, `sabotage::unless("NAME", ..)`.
    pub(super) fn names(&self) -> Vec<String> {
        let added = self.lines.iter().filter(|(mark, _)| *mark == '+');
        let added: String = added.map(|(_, line)| line.as_str()).collect();
        let calls = added.split("sabotage::").skip(1);
        let names = calls.filter_map(|call| call.split('"').nth(1));
        names.map(str::to_owned).collect()
    }

    fn old(&self) -> Vec<&str> {
        let old = self.lines.iter().filter(|(mark, _)| *mark != '+');
        old.map(|(_, line)| line.as_str()).collect()
    }

    /// Finds the place of the old lines in `clean`.
    pub(super) fn place(&self, clean: &[&str]) -> Result<usize, String> {
        let old = self.old();
        let equal = |at: &usize| {
            let pairs = clean[*at..].iter().zip(&old);
            pairs.take_while(|(there, wanted)| there == wanted).count()
        };
        let mut places = (0..clean.len()).filter(|at| equal(at) == old.len());
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => Err(format!(
                "{} has these lines more than once, the first is `{}`: add more context",
                self.file,
                old.first().unwrap_or(&"").trim()
            )),
            (None, _) => {
                let best = (0..clean.len()).max_by_key(|at| (equal(at), usize::MAX - at));
                let missing = old.get(best.map_or(0, |at| equal(&at))).unwrap_or(&"");
                Err(format!(
                    "{} has no line `{}` there",
                    self.file,
                    missing.trim()
                ))
            }
        }
    }

    /// The changes, if the old lines begin at `at`.
    pub(super) fn edits(&self, mut at: usize) -> Vec<Edit<'_>> {
        let mut edits: Vec<Edit<'_>> = Vec::new();
        for (mark, line) in &self.lines {
            if *mark == ' ' {
                at += 1;
                continue;
            }
            let len = usize::from(*mark == '-');
            let lines = (*mark == '+').then_some(line.as_str());
            match edits.last_mut() {
                Some(edit) if edit.at.end == at => {
                    edit.at.end += len;
                    edit.lines.extend(lines);
                }
                _ => edits.push(Edit {
                    at: at..at + len,
                    lines: lines.into_iter().collect(),
                }),
            }
            at += len;
        }
        edits
    }
}

/// Reads a unified diff.
pub(super) fn hunks(diff: &str) -> anyhow::Result<Vec<Hunk>> {
    let (mut hunks, mut file) = (Vec::<Hunk>::new(), None);
    for line in diff.lines() {
        if line.starts_with("--- ") {
            file = None;
        } else if let Some(path) = line.strip_prefix("+++ b/") {
            file = Some(path);
        } else if line.starts_with("@@") {
            let file = file.context("there is no line `+++ b/FILE`")?.to_owned();
            let lines = Vec::new();
            hunks.push(Hunk { file, lines });
        } else {
            // An empty line may have lost its space.
            let (mark, rest) = line.split_at_checked(1).unwrap_or((" ", ""));
            let mark = mark.chars().next().filter(|mark| " +-".contains(*mark));
            let mark = mark.with_context(|| format!("this is no line of a diff: `{line}`"))?;
            let hunk = hunks.last_mut().context("there is no line `@@`")?;
            hunk.lines.push((mark, rest.to_owned()));
        }
    }
    Ok(hunks)
}
