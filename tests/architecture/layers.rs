//! The layers of `matrix/src/`: a module imports only modules of lower layers, so that no circle of folders can form.

use crate::exempt;
use crate::imports::{self, top};
use crate::tree::{Complaint, Tree};

const ROOT: &str = "matrix/src/";

/// From the lowest layer to the highest.
const LAYERS: &[&[&str]] = &[
    &["elf", "executable", "files", "hash", "interrupt", "markup", "sample_events", "target", "terminal"],
    &["archive", "emulator", "workspace"],
    &["venv"],
    &["manifest", "materials", "sandbox"],
    &["plan"],
    &["flavour"],
    &["build"],
    &["invoke", "layer"],
    &["inspect", "measure"],
    &["analyze", "merge"],
    &["estimate", "report"],
    &["gate"],
    &["fips_report"],
    &["commands"],
];

/// Imports of the same or a higher layer, and modules that have none.
pub fn upwards(tree: &Tree) -> Vec<Complaint> {
    let tests = exempt::test_files(tree, ROOT);
    let mut complaints = Vec::new();
    for file in tree.rust(ROOT).filter(|file| !tests.contains(&file.path)) {
        let path = file.path.trim_start_matches(ROOT).trim_end_matches(".rs");
        let module = path.split('/').next().unwrap_or(path);
        if ["lib", "main", "bin"].contains(&module) {
            continue;
        }
        let Some(layer) = layer(module) else {
            complaints.push(Complaint::new(file, 1, format!("module `{module}` is in no layer")));
            continue;
        };
        for import in imports::imports(file, ROOT) {
            let used = top(&import.path);
            if used != module && self::layer(used).is_some_and(|used| used >= layer) {
                complaints.push(Complaint::new(file, import.line, format!("`{module}` is below `{used}`")));
            }
        }
    }
    complaints
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}
