//! What can be said of a program that prints no `--version`, by its file: of the launcher and of the WAF worker.

use serde_json::{Value, json};

use crate::elf::Linkage;

/// Its name, processor, linkage and size, in the place of the document that an agent prints.
pub fn document(name: &str, program: &[u8]) -> Result<Value, String> {
    let linkage = Linkage::of(program).ok_or("it is no 64-bit ELF file")?;
    Ok(
        json!({"name": name, "architecture": linkage.architecture, "static": linkage.is_static(), "bytes": program.len()}),
    )
}

/// Whether a document is one of the program with this name.
pub fn is_of(name: &str, document: &Value) -> bool {
    document["name"] == name
}
