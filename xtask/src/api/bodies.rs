//! Source without the bodies of its functions: the compiler prints some expanded expressions in a form that does not parse.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

pub(super) fn without(tokens: TokenStream) -> TokenStream {
    let mut in_signature = false;
    let mut is_after_fn = false;
    let one = |token| match token {
        TokenTree::Ident(ident) => {
            // `fn name`, not the type `fn(A) -> B`.
            in_signature |= is_after_fn;
            is_after_fn = ident == "fn";
            TokenTree::Ident(ident)
        }
        TokenTree::Group(group) => {
            is_after_fn = false;
            let is_body = in_signature && group.delimiter() == Delimiter::Brace;
            in_signature &= !is_body;
            let inner = if is_body {
                TokenStream::new()
            } else {
                without(group.stream())
            };
            TokenTree::Group(Group::new(group.delimiter(), inner))
        }
        TokenTree::Punct(punct) if punct.as_char() == ';' => {
            in_signature = false;
            TokenTree::Punct(punct)
        }
        token => token,
    };
    tokens.into_iter().map(one).collect()
}
