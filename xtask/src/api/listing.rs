//! From the items of a crate to the lines of its listing.
//!
//! Public is what is `pub` in a public module, or has a name that a public module passes on. A path has the public modules
//! only, so that an item can move to another file.

use std::collections::{BTreeMap, BTreeSet};

use syn::{
    Attribute, Expr, Ident, ImplItem, Item, ItemImpl, ItemMod, Stmt, TraitItem, Type, UseTree,
    Visibility,
};

use super::render::{fields, head, is_hidden, is_public, signature, text};

/// Traits that a derive implements for the compiler alone.
const OF_THE_COMPILER: [&str; 2] = ["StructuralPartialEq", "TrivialClone"];

/// The lines of the crate `root`, sorted.
pub(super) fn of(root: &str, items: &[Item]) -> Vec<String> {
    let mut lines = Lines::default();
    // The second time, also in modules that were passed on.
    for _ in 0..2 {
        lines.add_passed_on(items, root, true);
        let names = lines
            .sorted
            .iter()
            .filter_map(|line| line.rsplit([':', ' ']).next());
        lines.exported = names.map(str::to_owned).collect();
    }
    lines.collect(items, true);
    lines.list(items, root);
    lines.sorted.into_iter().collect()
}

#[derive(Default)]
struct Lines {
    /// The names that public modules pass on.
    exported: BTreeSet<String>,
    /// The names of all items, and whether one that has the name is public.
    names: BTreeMap<String, bool>,
    sorted: BTreeSet<String>,
}

impl Lines {
    fn add_passed_on(&mut self, items: &[Item], at: &str, is_public_module: bool) {
        for item in items {
            match item {
                Item::Mod(item) if is_public(&item.vis) => {
                    let path = format!("{at}::{}", item.ident);
                    let is_public_module = self.is_public(item, is_public_module);
                    self.add_passed_on(content(item), &path, is_public_module);
                }
                Item::Mod(item) => self.add_passed_on(content(item), at, false),
                Item::Use(item)
                    if is_public_module && is_public(&item.vis) && !is_hidden(&item.attrs) =>
                {
                    self.add_uses(&item.tree, "", at);
                }
                _ => {}
            }
        }
    }

    fn is_public(&self, module: &ItemMod, is_public_module: bool) -> bool {
        let is_exported = is_public_module || self.exported.contains(&module.ident.to_string());
        is_exported && is_public(&module.vis) && !is_hidden(&module.attrs)
    }

    fn collect(&mut self, items: &[Item], is_public_module: bool) {
        for item in items {
            if let Item::Mod(item) = item {
                self.collect(content(item), self.is_public(item, is_public_module));
            } else if let Some((name, visibility, attributes)) = named(item) {
                let is_exported = is_public_module || self.exported.contains(&name.to_string());
                let is_shown = is_exported && is_public(visibility) && !is_hidden(attributes);
                *self.names.entry(key(item, name)).or_default() |= is_shown;
            }
        }
    }

    fn add(&mut self, line: impl Into<String>) {
        self.sorted.insert(line.into());
    }

    fn list(&mut self, items: &[Item], at: &str) {
        for item in items {
            match item {
                Item::Mod(item) if is_hidden(&item.attrs) => {}
                Item::Mod(item) if is_public(&item.vis) => {
                    let path = format!("{at}::{}", item.ident);
                    self.add(format!("mod {path}"));
                    self.list(content(item), &path);
                }
                Item::Mod(item) => self.list(content(item), at),
                Item::Impl(item) => self.add_impl(item, at),
                // Derives put what they write in a nameless constant.
                Item::Const(item) if item.ident == "_" => {
                    if let Expr::Block(block) = &*item.expr {
                        let items = block.block.stmts.iter().filter_map(|stmt| match stmt {
                            Stmt::Item(Item::Impl(item)) => Some(item),
                            _ => None,
                        });
                        items.for_each(|item| self.add_impl(item, at));
                    }
                }
                item => self.add_item(item, at),
            }
        }
    }

    fn add_item(&mut self, item: &Item, at: &str) {
        let Some((name, visibility, attributes)) = named(item) else {
            return;
        };
        let is_shown = self.names.get(&key(item, name)) == Some(&true);
        if !is_shown || !is_public(visibility) || is_hidden(attributes) {
            return;
        }
        let path = format!("{at}::{name}");
        match item {
            Item::Const(item) => self.add(format!("const {path}: {}", text(&item.ty))),
            Item::Fn(item) => self.add(signature(&item.sig, &path)),
            Item::Type(item) => {
                let head = head("type", &path, &item.generics, &[]);
                self.add(format!("{head} = {}", text(&item.ty)));
            }
            Item::Struct(item) => {
                self.add(head("struct", &path, &item.generics, attributes));
                self.sorted.extend(fields(&item.fields, &path, false));
            }
            Item::Enum(item) => {
                self.add(head("enum", &path, &item.generics, attributes));
                for variant in &item.variants {
                    let path = format!("{path}::{}", variant.ident);
                    self.add(head("variant", &path, &quote::quote!(), &variant.attrs));
                    self.sorted.extend(fields(&variant.fields, &path, true));
                }
            }
            Item::Trait(item) => {
                let head = head("trait", &path, &item.generics, &[]);
                let line = format!("{head}: {}", text(&item.supertraits));
                self.add(line.trim_end_matches(": "));
                for item in &item.items {
                    if let TraitItem::Fn(item) = item {
                        let has_body = if item.default.is_some() {
                            " (has a default)"
                        } else {
                            ""
                        };
                        let line = signature(&item.sig, &format!("{path}::{}", item.sig.ident));
                        self.add(line + has_body);
                    }
                }
            }
            _ => {}
        }
    }

    fn add_impl(&mut self, item: &ItemImpl, at: &str) {
        let (name, of) = match &*item.self_ty {
            Type::Path(of) => of.path.segments.last().map(|last| {
                let of = text(of);
                let whole = of
                    .trim_start_matches("super::")
                    .trim_start_matches("crate::");
                (last.ident.to_string(), whole.to_owned())
            }),
            _ => None,
        }
        .unwrap_or_else(|| (String::new(), text(&item.self_ty)));
        let path = match self.names.get(&name) {
            Some(true) => format!("{at}::{of}"),
            Some(false) => return,
            None => of,
        };
        if let Some(last) = item
            .trait_
            .as_ref()
            .and_then(|(_, of, _)| of.segments.last())
        {
            let name = last.ident.to_string();
            let is_shown = self.names.get(&format!("trait {name}")) != Some(&false);
            if is_shown && !OF_THE_COMPILER.contains(&&*name) {
                self.add(format!("impl {} for {path}", text(last)));
            }
            return;
        }
        for inner in &item.items {
            match inner {
                ImplItem::Fn(inner) if is_public(&inner.vis) && !is_hidden(&inner.attrs) => {
                    self.add(signature(
                        &inner.sig,
                        &format!("{path}::{}", inner.sig.ident),
                    ));
                }
                ImplItem::Const(inner) if is_public(&inner.vis) && !is_hidden(&inner.attrs) => {
                    self.add(format!(
                        "const {path}::{}: {}",
                        inner.ident,
                        text(&inner.ty)
                    ));
                }
                _ => {}
            }
        }
    }

    fn add_uses(&mut self, tree: &UseTree, parent: &str, at: &str) {
        match tree {
            UseTree::Path(path) => self.add_uses(&path.tree, &path.ident.to_string(), at),
            UseTree::Name(name) if name.ident == "self" => self.add(format!("use {at}::{parent}")),
            UseTree::Name(name) => self.add(format!("use {at}::{}", name.ident)),
            UseTree::Rename(name) => {
                self.add(format!("use {at}::{} = {}", name.rename, name.ident));
            }
            UseTree::Glob(_) => self.add(format!("use {at}::* = {parent}::*")),
            UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.add_uses(tree, parent, at)),
        }
    }
}

fn content(item: &ItemMod) -> &[Item] {
    item.content.as_ref().map_or(&[], |(_, items)| items)
}

/// Types, and all else: one name can stand for a type and a function.
fn key(item: &Item, name: &Ident) -> String {
    match item {
        Item::Struct(_) | Item::Enum(_) => name.to_string(),
        _ => format!("trait {name}"),
    }
}

fn named(item: &Item) -> Option<(&Ident, &Visibility, &[Attribute])> {
    Some(match item {
        Item::Const(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Enum(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Fn(item) => (&item.sig.ident, &item.vis, &item.attrs),
        Item::Struct(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Trait(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Type(item) => (&item.ident, &item.vis, &item.attrs),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::of;

    const SOURCE: &str = "
        mod inner {
            pub struct NotPassedOn;
            pub struct Shown<'a, T> { pub field: Vec<&'a T>, hidden: u8 }
            impl<'a, T> Shown<'a, T> {
                pub fn call(mut self, with: impl Into<T>) -> (u8, [u8; 4]) { todo!() }
                fn private(&self) {}
                #[doc(hidden)]
                pub fn knob(&self) {}
            }
            mod deeper {
                impl ::core::clone::Clone for super::Shown<'_, u8> { fn clone(&self) -> Self { {}.no() } }
            }
        }
        pub use inner::Shown as Renamed;
        pub mod open { pub use super::Open; pub const ONE: u8 = 1; }
        struct Private;
        impl Clone for Private { fn clone(&self) -> Self { Self } }
        #[non_exhaustive]
        pub enum Open { Pair(u8, u8) }
        const _: () = { impl From<Open> for u8 {} };
        pub trait Doing: Sized { fn one(&self); fn two() {} }
        pub use other::Thing;
    ";

    #[test]
    fn a_listing_has_what_is_public_under_the_path_by_which_it_is() {
        let tokens = super::super::bodies::without(SOURCE.parse().expect("tokens"));
        let lines = of("x", &syn::parse2::<syn::File>(tokens).expect("items").items);
        let expected = [
            "const x::open::ONE: u8",
            "enum x::Open (non-exhaustive)",
            "field x::Open::Pair::0: u8",
            "field x::Open::Pair::1: u8",
            "field x::Shown::field: Vec<&'a T>",
            "fn x::Doing::one(&self)",
            "fn x::Doing::two() (has a default)",
            "fn x::Shown<'a, T>::call(self, with: impl Into<T>) -> (u8, [u8; 4])",
            "impl Clone for x::Shown<'_, u8>",
            "impl From<Open> for u8",
            "mod x::open",
            "struct x::Shown<'a, T>",
            "trait x::Doing: Sized",
            "use x::Renamed = Shown",
            "use x::Thing",
            "use x::open::Open",
            "variant x::Open::Pair",
        ];
        assert_eq!(lines, expected);
    }
}
