//! What makes a file of ours more than Rust, by its tokens: how it is written, with spaces or other brackets, makes no difference.

use proc_macro2::{Delimiter, LexError, TokenStream, TokenTree};

/// Code in assembly, bytes and code of other files, and what is said to the linker. A name for the linker makes a function of Rust one that code in C calls, such as
/// `getrandom`, without the word `extern`. The names count wherever they stand: `use` may rename a macro, and a macro may be handed the name of another, or an attribute.
const NAMES: [&str; 13] = [
    "asm",
    "export_name",
    "global_asm",
    "naked_asm",
    "no_mangle",
    "include",
    "include_bytes",
    "include_str",
    "link_args",
    "link_name",
    "link_ordinal",
    "link_section",
    "rustc_std_internal_symbol",
];
/// What attributes for the linker begin with, such as `link` and `linkage`.
const LINK: &str = "link";

/// Whether there is more than Rust in it: what `NAMES` has, functions of other languages, or functions for them.
pub fn is_in(text: &str) -> Result<bool, LexError> {
    Ok(has_more(text.parse()?))
}

fn has_more(tokens: TokenStream) -> bool {
    let mut trees = tokens.into_iter().peekable();
    let mut is_attribute = false;
    while let Some(tree) = trees.next() {
        let more = match &tree {
            // With any calling convention, or none. `extern crate` names a package, and those are listed.
            TokenTree::Ident(name) if name == "extern" => {
                !matches!(trees.peek(), Some(TokenTree::Ident(next)) if next == "crate")
            }
            TokenTree::Ident(name) => NAMES.contains(&plain(&name.to_string())),
            TokenTree::Group(group) => {
                let is_attribute = is_attribute && group.delimiter() == Delimiter::Bracket;
                is_attribute && speaks_to_the_linker(group.stream()) || has_more(group.stream())
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        };
        if more {
            return true;
        }
        // `#[…]` and `#![…]`.
        is_attribute =
            matches!(&tree, TokenTree::Punct(sign) if sign.as_char() == '#' || (is_attribute && sign.as_char() == '!'));
    }
    false
}

/// Whether an attribute, or one that depends on a condition in it, is for the linker.
fn speaks_to_the_linker(attribute: TokenStream) -> bool {
    attribute.into_iter().any(|tree| match tree {
        TokenTree::Ident(name) => plain(&name.to_string()).starts_with(LINK),
        TokenTree::Group(group) => speaks_to_the_linker(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// A name without the mark of a raw one.
fn plain(name: &str) -> &str {
    name.strip_prefix("r#").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_however_it_is_written() {
        for text in [
            "fn f() { unsafe { asm! { \"nop\" } } }",
            "core::arch::global_asm ! [\"nop\"];",
            "use core::arch::asm as other;",
            "r#asm!(\"nop\");",
            "unsafe extern \"system\" { fn other(); }",
            "extern{ fn other(); }",
            "pub extern\n\"C\" fn ours() {}",
            "static B: &[u8] = include_bytes ! [\"/tmp/x\"];",
            "static T: &str = include_str!{\"/tmp/x\"};",
            "mod m { include!{\"other.txt\"} }",
            "#[ link (name = \"x\")] mod m {}",
            "#![cfg_attr(unix, linkage = \"weak\")]",
            "#[unsafe(link_section = \".init_array\")] static A: u8 = 0;",
            "macro_rules! m { () => { asm!(\"nop\") } }",
            "#[unsafe(export_name = \"getrandom\")] pub fn g() {}",
            "#[export_name = concat!(\"get\", \"random\")] pub fn g() {}",
            "#[no_mangle] pub fn memcmp() {}",
            "#[cfg_attr(unix, unsafe(no_mangle))] pub fn memcmp() {}",
            "macro_rules! m { ($a:meta) => { #[$a] pub fn g() {} } } m!(unsafe(r#no_mangle));",
            "#[rustc_std_internal_symbol] fn f() {}",
        ] {
            assert_eq!(is_in(text).ok(), Some(true), "{text}");
        }
    }

    #[test]
    fn rust_is_no_more_than_rust() {
        for text in [
            "extern crate alloc;",
            "/// `asm!(\"nop\")` and #[link(name = \"x\")]\nfn f() { let _ = \"extern \\\"C\\\" {\"; }",
            "fn link(links: &[u8]) { /* include!(\"x\") */ std::os::unix::fs::symlink(1, 2); }",
            "#[cfg(test)] fn f() { link(1) }",
            "#[global_allocator] static A: System = System; #[used] static B: u8 = 0;",
            "/// `#[no_mangle]`\nfn export_names() { let _ = \"no_mangle\"; }",
        ] {
            assert_eq!(is_in(text).ok(), Some(false), "{text}");
        }
        assert!(is_in("fn f( {").is_err());
    }
}
