//! All patches at once, applied to the clean sources.
//!
//! Each patch is relative to the clean sources. The old lines of a hunk must occur once in the file; the numbers in `@@` do not
//! count. Two patches may insert lines at the same place (in the order of their names), but not replace the same line.

use std::collections::BTreeMap;

use super::hunk::{Edit, Hunk};
use super::variant::Variant;

/// Why a patch does not apply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// The path of the patch.
    pub(crate) patch: String,
    pub(crate) what: String,
}

/// Returns the patched files by their paths, or all hunks that do not fit. `read` returns a clean file.
pub(crate) fn apply(
    variants: &[Variant],
    read: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, Vec<Misfit>> {
    let mut by_file: BTreeMap<&str, Vec<(&Variant, &Hunk)>> = BTreeMap::new();
    for variant in variants {
        for hunk in &variant.hunks {
            let hunks = by_file.entry(&hunk.file).or_default();
            hunks.push((variant, hunk));
        }
    }
    let (mut patched, mut misfits) = (BTreeMap::new(), Vec::new());
    for (file, hunks) in by_file {
        let Some(text) = read(file) else {
            let gone =
                |(variant, _): &(&Variant, _)| misfit(variant, format!("there is no {file}"));
            misfits.extend(hunks.iter().map(gone));
            continue;
        };
        let clean: Vec<&str> = text.lines().collect();
        let mut edits = Vec::new();
        for (variant, hunk) in hunks {
            match hunk.place(&clean) {
                Ok(at) => edits.extend(hunk.edits(at).into_iter().map(|edit| (edit, variant))),
                Err(what) => misfits.push(misfit(variant, what)),
            }
        }
        edits.sort_by_key(|(edit, variant)| (edit.at.start, edit.at.end, &variant.name));
        for pair in edits.windows(2) {
            let [(edit, variant), (next, other)] = pair else {
                continue;
            };
            if next.at.start < edit.at.end {
                let (line, name) = (next.at.start + 1, &variant.name);
                misfits.push(misfit(
                    other,
                    format!("{name} changes line {line} of {file} too"),
                ));
            }
        }
        patched.insert(file.to_owned(), merged(&clean, &edits));
    }
    if misfits.is_empty() {
        Ok(patched)
    } else {
        Err(misfits)
    }
}

/// The message of a command that cannot go on.
pub(super) fn told(misfits: &[Misfit]) -> String {
    let lines = misfits
        .iter()
        .map(|misfit| format!("\n{}: {}", misfit.patch, misfit.what));
    format!("patches do not apply:{}", lines.collect::<String>())
}

fn misfit(variant: &Variant, what: String) -> Misfit {
    let patch = variant.path.clone();
    Misfit { patch, what }
}

fn merged(clean: &[&str], edits: &[(Edit<'_>, &Variant)]) -> String {
    let (mut out, mut from) = (Vec::<&str>::new(), 0);
    for (edit, _) in edits {
        out.extend(clean.get(from..edit.at.start).unwrap_or_default());
        out.extend(&edit.lines);
        from = edit.at.end;
    }
    out.extend(clean.get(from..).unwrap_or_default());
    out.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = "fn a() {\n    one();\n    two();\n\n    one();\n    three();\n}\n";

    fn variant(name: &str, diff: &str) -> Variant {
        let text =
            format!("Breaks: a rule\nFound by: random programs\n\n--- a/f.rs\n+++ b/f.rs\n{diff}");
        Variant::parse(&format!("{name}.patch"), &text).expect("a patch")
    }

    fn applied(variants: &[Variant]) -> Result<String, Vec<String>> {
        let patched = apply(variants, |path| (path == "f.rs").then(|| CLEAN.to_owned()));
        match patched {
            Ok(patched) => Ok(patched["f.rs"].clone()),
            Err(misfits) => Err(misfits
                .into_iter()
                .map(|misfit| format!("{}: {}", misfit.patch, misfit.what))
                .collect()),
        }
    }

    #[test]
    fn patches_are_applied_together_whatever_their_line_numbers() {
        let variants = [
            variant(
                "b",
                "@@ -70,2 +70,3 @@ fn a()\n     two();\n\n+    is(sabotage::is(\"b\"));\n     one();\n",
            ),
            variant(
                "a",
                "@@\n     two();\n\n+    sabotage::is(\"a\");\n     one();\n",
            ),
            variant(
                "c",
                "@@\n     two();\n\n-    one();\n+    sabotage::unless(\"c\", one);\n     three();\n",
            ),
        ];
        let expected = "fn a() {\n    one();\n    two();\n\n    sabotage::is(\"a\");\n    is(sabotage::is(\"b\"));\n    \
                        sabotage::unless(\"c\", one);\n    three();\n}\n";
        assert_eq!(applied(&variants).as_deref(), Ok(expected));
    }

    #[test]
    fn a_patch_that_does_not_fit_is_named_with_the_line_that_differs() {
        let gone = variant(
            "gone",
            "@@\n     two();\n-    four();\n+    sabotage::is(\"gone\");\n",
        );
        let expected = String::from("gone.patch: f.rs has no line `four();` there");
        assert_eq!(applied(std::slice::from_ref(&gone)), Err(vec![expected]));
        let misfits = apply(&[gone], |_| None).expect_err("without the file");
        assert_eq!(misfits[0].what, "there is no f.rs");
    }

    #[test]
    fn lines_that_are_there_twice_are_no_place() {
        let vague = variant("vague", "@@\n     one();\n+    sabotage::is(\"vague\");\n");
        let expected = "vague.patch: f.rs has these lines more than once, the first is `one();`: add more context";
        assert_eq!(applied(&[vague]), Err(vec![expected.into()]));
    }

    #[test]
    fn two_patches_of_one_line_are_both_named() {
        let changes = |name: &str| {
            variant(
                name,
                &format!("@@\n-    two();\n+    sabotage::is(\"{name}\");\n"),
            )
        };
        let expected = String::from("y.patch: x changes line 3 of f.rs too");
        assert_eq!(applied(&[changes("y"), changes("x")]), Err(vec![expected]));
    }

    #[test]
    fn a_patch_asks_for_its_own_name_only() {
        let parse = |text: &str| {
            Variant::parse("own.patch", text)
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        let header = "Breaks: a rule\nFound by: random programs\n";
        let diff = "--- a/f.rs\n+++ b/f.rs\n@@\n+sabotage::is(\"other\")\n";
        let expected = "it asks for another variant, \"other\"";
        assert_eq!(parse(&format!("{header}{diff}")), Err(expected.into()));
        let nameless = format!("{header}--- a/f.rs\n+++ b/f.rs\n@@\n+return;\n");
        assert_eq!(
            parse(&nameless),
            Err("no added line asks whether the variant is switched on".into())
        );
        assert_eq!(
            parse("Found by: random programs\n"),
            Err("the line `Breaks:` is missing".into())
        );
        assert_eq!(
            parse("Found by: test a b\n"),
            Err("`Found by: test a b` names no test and no fault".into())
        );
    }
}
