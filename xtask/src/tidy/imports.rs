//! Which file of a crate names an item of which other file. A name is followed through re-exports to the file that defines it.
//!
//! Methods do not count, because they need no import. Globs are found by clippy. Names that macros make are not seen.

use std::collections::{BTreeMap, BTreeSet};

use super::lexer::lines_with_word;
use super::paths::{self, Named};
use super::tree::Tree;

/// A file names an item of another file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Import<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) item: String,
}

/// The crate whose root is in the folder `src`, without its tests.
pub(super) fn of<'a>(tree: &'a Tree, src: &str) -> Vec<Import<'a>> {
    let modules = Modules::of(tree, src);
    let mut imports: Vec<Import<'a>> = Vec::new();
    for (path, module) in &modules.0 {
        for named in &module.named {
            let Some((to, item)) = modules.find(path, &named.path, MOST_STEPS) else {
                continue;
            };
            if !module.uses(named) && !modules.needs_no_name(named, to, &item) {
                continue;
            }
            let import = Import {
                from: module.file,
                to,
                item,
            };
            if to != module.file && !imports.contains(&import) {
                imports.push(import);
            }
        }
    }
    imports
}

/// Re-exports of re-exports: more is a name that stands for itself.
const MOST_STEPS: usize = 16;

/// The modules of a crate that are files, by path: `log::append`; the root is "".
struct Modules<'a>(BTreeMap<String, Module<'a>>);

struct Module<'a> {
    file: &'a str,
    code: &'a str,
    defined: BTreeSet<&'a str>,
    named: Vec<Named>,
}

impl<'a> Modules<'a> {
    fn of(tree: &'a Tree, src: &str) -> Self {
        let has_library = tree.get(&format!("{src}/lib.rs")).is_some();
        let mut modules = BTreeMap::new();
        for (file, rust) in tree.rust_in(src) {
            let inside = file.path[src.len() + 1..].trim_end_matches(".rs");
            let path = match inside {
                "main" if has_library => continue,
                "lib" | "main" => String::new(),
                inside => inside.trim_end_matches("/mod").replace('/', "::"),
            };
            let module = Module {
                file: &file.path,
                code: &rust.shipped,
                defined: paths::defined(&rust.shipped),
                named: paths::named(&rust.shipped),
            };
            modules.insert(path, module);
        }
        Self(modules)
    }

    fn has_items(&self, module: &str, name: &str, rest: &str) -> bool {
        !rest.is_empty() && self.0.contains_key(&below(module, name))
    }

    /// Whether an import is of a trait, whose methods are called without its name.
    fn needs_no_name(&self, named: &Named, file: &str, item: &str) -> bool {
        let is_for_this_file = named
            .imported
            .as_ref()
            .is_some_and(|imported| !imported.again);
        let mut files = self.0.values().filter(|module| module.file == file);
        let declaration = format!("trait {item}");
        is_for_this_file
            && files.any(|module| !lines_with_word(module.code, &declaration).is_empty())
    }

    /// The file and the item that `path` means in `module`; nothing if it is not of this crate, or a module.
    fn find(&self, module: &str, path: &str, steps: usize) -> Option<(&'a str, String)> {
        let steps = steps.checked_sub(1)?;
        let here = self.0.get(module)?;
        let (first, rest) = path.split_once("::").unwrap_or((path, ""));
        match first {
            "crate" => self.find("", rest, steps),
            "self" => self.find(module, rest, steps),
            "super" => self.find(
                module.rsplit_once("::").map_or("", |(up, _)| up),
                rest,
                steps,
            ),
            "" => None,
            // `mod store` has the items of `store::...`, whatever else has that name.
            name if here.defined.contains(name) && !self.has_items(module, name, rest) => {
                Some((here.file, name.to_owned()))
            }
            name => self.find(&below(module, name), rest, steps).or_else(|| {
                // `use name::...` names another crate.
                let gives = |import: &&Named| {
                    import.is_imported_as(name) && import.path.split("::").next() != Some(name)
                };
                let imported = here.named.iter().filter(gives);
                imported
                    .map(|import| below(&import.path, rest))
                    .find_map(|path| self.find(module, &path, steps))
            }),
        }
    }
}

impl Module<'_> {
    /// Whether the file itself uses what it names, and does not only pass it on: to other files, or to the modules below it.
    fn uses(&self, named: &Named) -> bool {
        named.imported.as_ref().is_none_or(|imported| {
            let lines = lines_with_word(self.code, &imported.name);
            imported.name == "_" || lines.iter().any(|line| *line != named.line)
        })
    }
}

/// `a::b`, or the one that is not empty.
fn below(path: &str, rest: &str) -> String {
    match (path, rest) {
        ("", one) | (one, "") => one.to_owned(),
        _ => format!("{path}::{rest}"),
    }
}
