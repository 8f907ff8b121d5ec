//! Which parts of `src/process/` may use which: what reads events and traces knows nothing of invocations, which use it.

use crate::exempt;
use crate::imports;
use crate::tree::{Complaint, Tree};

const ROOT: &str = "src/process/";

/// The parts, from the lowest to the highest. A part may use those of earlier lines; parts that are not listed may be used by all.
const LAYERS: &[&[&str]] =
    &[&["trace"], &["propagation"], &["data_streams"], &["trigger"], &["appsec"], &["invocation"]];

/// Imports of the same or a higher line.
pub fn upwards(tree: &Tree) -> Vec<Complaint> {
    let tests = exempt::test_files(tree, "src/");
    let mut complaints = Vec::new();
    for file in tree.rust(ROOT).filter(|file| !tests.contains(&file.path)) {
        let path = file.path.trim_start_matches(ROOT).trim_end_matches(".rs");
        let part = path.split('/').next().unwrap_or(path);
        let Some(layer) = layer(part) else { continue };
        for import in imports::imports(file, ROOT) {
            let used = import.path.trim_start_matches("process::");
            let used = used.split("::").next().unwrap_or(used);
            if used != part && self::layer(used).is_some_and(|used| used >= layer) {
                complaints.push(Complaint::new(file, import.line, format!("`{part}` is below `{used}`")));
            }
        }
    }
    complaints
}

fn layer(part: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&part))
}
