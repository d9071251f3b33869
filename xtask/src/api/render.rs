//! Items as text, each in one line.

use quote::ToTokens;
use syn::{Attribute, Fields, Signature, Visibility};

/// The tokens, spaced as in source code.
pub(super) fn text(tokens: &impl ToTokens) -> String {
    let tokens = tokens.to_token_stream().to_string();
    let mut text = String::new();
    for token in tokens.split_whitespace() {
        let is_list = token.starts_with('(') && !text.ends_with(['-', '=', ':', '+', ',']);
        let is_glued = token.starts_with([',', ';', ':', ')', ']', '>', '<', '?'])
            || is_list && !text.ends_with("->");
        if !text.is_empty()
            && !is_glued
            && !text.ends_with(['(', '[', '<', '&', '*', '?'])
            && !text.ends_with("::")
        {
            text.push(' ');
        }
        text.push_str(token);
    }
    text.replace(",)", ")").replace("(mut self", "(self")
}

/// A signature with `path` in the place of its name.
pub(super) fn signature(signature: &Signature, path: &str) -> String {
    let name = format!("fn {}", signature.ident);
    text(signature).replacen(&name, &format!("fn {path}"), 1)
}

pub(super) fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

pub(super) fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| text(attribute).contains("doc(hidden)"))
}

/// The head of a type's line.
pub(super) fn head(
    kind: &str,
    path: &str,
    generics: &impl ToTokens,
    attributes: &[Attribute],
) -> String {
    let is_open = attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("non_exhaustive"));
    let openness = if is_open { " (non-exhaustive)" } else { "" };
    format!("{kind} {path}{}{openness}", text(generics))
}

/// The public fields of a struct, or all those of a variant.
pub(super) fn fields(fields: &Fields, path: &str, all: bool) -> Vec<String> {
    let shown = fields
        .iter()
        .enumerate()
        .filter(|(_, field)| all || is_public(&field.vis));
    let line = |(at, field): (usize, &syn::Field)| {
        let name = field
            .ident
            .as_ref()
            .map_or(at.to_string(), ToString::to_string);
        format!("field {path}::{name}: {}", text(&field.ty))
    };
    shown.map(line).collect()
}
