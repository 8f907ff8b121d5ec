//! Which top-level module of `src/` may use which.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenTree};

use crate::exempt;
use crate::tokens;
use crate::tree::{Complaint, File, Tree};

const ROOT: &str = "src/";

struct Row {
    module: &'static str,
    /// Modules, or parts of one such as `platform::ids`; `*` is every module except `startup`.
    may_use: &'static [&'static str],
}

const TABLE: &[Row] = &[
    Row { module: "features", may_use: &[] },
    Row { module: "build_info", may_use: &["features"] },
    Row { module: "os", may_use: &["features"] },
    Row { module: "config", may_use: &["os"] },
    Row { module: "platform", may_use: &["os", "features", "build_info"] },
    Row {
        module: "process",
        may_use: &["platform::ids", "platform::environment", "platform::json", "config", "build_info", "features"],
    },
    Row { module: "waf_client", may_use: &["process", "config", "os", "features"] },
    Row { module: "ingest", may_use: &["process", "platform", "waf_client", "config", "os", "features"] },
    Row { module: "runtime_proxy", may_use: &["ingest", "platform", "os"] },
    Row { module: "aggregate", may_use: &["process"] },
    Row { module: "intake", may_use: &["aggregate", "process", "config", "os", "features", "build_info"] },
    Row { module: "flush", may_use: &["aggregate", "intake", "config", "platform::ids", "os", "process"] },
    Row { module: "run", may_use: &["*"] },
    Row { module: "startup", may_use: &["*"] },
];

pub fn table(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let names: BTreeSet<&str> = modules(tree).map(|(_, module)| module).collect();
    for (file, module) in modules(tree) {
        let Some(row) = TABLE.iter().find(|row| row.module == module) else {
            complaints.push(Complaint::new(file, 1, format!("module `{module}` has no row in the table of imports")));
            continue;
        };
        for import in imports(file, ROOT) {
            let known = import.path == "*" || names.contains(top(&import.path));
            if known && !row.allows(&import.path) {
                complaints.push(Complaint::new(file, import.line, format!("`{module}` may not use `{}`", import.path)));
            } else if known && import.is_public && top(&import.path) != module {
                let what = format!("`{module}` hands on `{}` to modules that may not use it", import.path);
                complaints.push(Complaint::new(file, import.line, what));
            }
        }
    }
    complaints
}

impl Row {
    fn allows(&self, path: &str) -> bool {
        top(path) == self.module
            || self.may_use.iter().any(|allowed| match *allowed {
                "*" => top(path) != "startup" && path != "*",
                part if part.contains("::") => path == part,
                module => top(path) == module,
            })
    }
}

/// The files of each top-level module. The crate's roots belong to none, and neither do files of tests, which may
/// reach across to set a scene.
pub fn modules(tree: &Tree) -> impl Iterator<Item = (&File, &str)> {
    let tests = exempt::test_files(tree, ROOT);
    tree.rust(ROOT).filter_map(move |file| {
        let path = file.path.strip_prefix(ROOT)?.strip_suffix(".rs")?;
        let is_root = matches!(path, "lib" | "main") || path.starts_with("bin/");
        (!is_root && !tests.contains(&file.path)).then(|| (file, top_of_file(path)))
    })
}

fn top_of_file(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

pub fn top(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

pub struct Import {
    pub line: usize,
    /// Whether others can import it from here.
    is_public: bool,
    /// At most two names from the crate's root.
    pub path: String,
}

/// All paths of a file that start at the crate's root, in imports and in bodies, by `crate::`, by the crate's name or
/// by enough `super::`.
pub fn imports(file: &File, root: &str) -> Vec<Import> {
    let inner = file.path.trim_start_matches(root).trim_end_matches(".rs").trim_end_matches("/mod");
    let depth_of_file = inner.split('/').count();
    let mut imports = Vec::new();
    visit(&tokens::of(file), 0, &mut |tokens, at, inline_modules| {
        // Only the first name of a path says where it starts.
        if tokens::continues_path(tokens, at) {
            return;
        }
        let Some(start) = root_ends(tokens, at, depth_of_file + inline_modules) else { return };
        let is_public = is_handed_on(tokens, at);
        for path in tokens::paths(tokens, start, 2).into_iter().filter(|path| !path.is_empty()) {
            imports.push(Import { line: tokens::line(&tokens[at]), is_public, path: path.join("::") });
        }
    });
    imports
}

/// Whether the path at `at` is that of `pub use` or of `pub type … =`.
fn is_handed_on(tokens: &[TokenTree], at: usize) -> bool {
    let is_end = |token: &TokenTree| {
        tokens::is_punct(Some(token), ';') || tokens::group(Some(token), Delimiter::Brace).is_some()
    };
    let item = tokens[..at].rsplit(is_end).next().unwrap_or_default();
    let has = |word: &str| item.iter().any(|token| tokens::is_ident(Some(token), word));
    let is_alias = has("type") && tokens::is_punct(before(tokens, at, 1), '=');
    has("pub") && (has("use") || is_alias)
}

/// Where the first name after the crate's root is, if the path at `at` goes there.
fn root_ends(tokens: &[TokenTree], at: usize, depth: usize) -> Option<usize> {
    if ["crate", "bottlecap"].iter().any(|name| tokens::is_ident(tokens.get(at), name)) {
        return tokens::is_path_separator(tokens, at + 1).then_some(at + 3);
    }
    let mut next = at;
    if tokens::is_ident(tokens.get(next), "self") && tokens::is_path_separator(tokens, next + 1) {
        next += 3;
    }
    let mut supers = 0;
    while tokens::is_ident(tokens.get(next), "super") && tokens::is_path_separator(tokens, next + 1) {
        supers += 1;
        next += 3;
    }
    (supers > 0 && supers >= depth).then_some(next)
}

/// Shows every token outside of what is `#[cfg(test)]`, with its neighbours and the number of inline modules around it.
pub fn visit(tokens: &[TokenTree], inline_modules: usize, see: &mut impl FnMut(&[TokenTree], usize, usize)) {
    // While in what is for tests alone, how many angle brackets are open.
    let mut in_test: Option<usize> = None;
    for (at, token) in tokens.iter().enumerate() {
        let body = tokens::group(Some(token), Delimiter::Brace);
        if let Some(angles) = in_test {
            let is = |sign| tokens::is_punct(Some(token), sign);
            let is_arrow = ['-', '='].iter().any(|sign| tokens::is_punct(before(tokens, at, 1), *sign));
            let angles = angles + usize::from(is('<'));
            let angles = angles.saturating_sub(usize::from(is('>') && !is_arrow));
            // An item ends with its body, or with a semicolon if it has none; a field, a variant, an arm or an argument with a comma.
            let ends = body.is_some() || is(';') || (is(',') && angles == 0);
            in_test = (!ends).then_some(angles);
            continue;
        }
        see(tokens, at, inline_modules);
        if let TokenTree::Group(group) = token {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            let is_attribute = tokens::is_punct(before(tokens, at, 1), '#');
            in_test = (is_attribute && tokens::is_cfg_test(&inner)).then_some(0);
            let is_module = body.is_some() && tokens::is_ident(before(tokens, at, 2), "mod");
            visit(&inner, inline_modules + usize::from(is_module), see);
        }
    }
}

pub fn before(tokens: &[TokenTree], at: usize, by: usize) -> Option<&TokenTree> {
    tokens.get(at.checked_sub(by)?)
}
