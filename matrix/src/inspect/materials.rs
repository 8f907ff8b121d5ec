//! What the bill of materials of a layer says, and whether that is of the same layer as the manifest.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::archive::Entry;
use crate::archive::places;
use crate::layer::contents::{Contents, refuse_control_characters};

/// The head of a bill of materials, and how many components it lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Materials {
    /// The version of `CycloneDX`.
    pub spec_version: String,
    /// When the sources were committed, in RFC 3339.
    pub timestamp: Option<String>,
    /// The name and the version of the program that has made it.
    pub tool: Option<String>,
    pub supplier: Option<String>,
    /// How many components have a package URL of each type, such as `cargo` or `deb`; those without one are `none`.
    pub components: BTreeMap<String, usize>,
}

/// The bill of materials of a layer that has one, or why it cannot be used. `problems` has what it contradicts the manifest in.
pub(super) fn of(contents: &Contents, entries: &[Entry], problems: &mut Vec<String>) -> Option<Materials> {
    let Some(entry) = entries.iter().find(|entry| entry.file.place == places::SBOM) else {
        problems.push(format!("there is no {}, the bill of materials", places::SBOM));
        return None;
    };
    match read(&entry.file.bytes) {
        Ok(document) => {
            problems.extend(contradictions(contents, &document));
            Some(Materials::of(&document))
        }
        Err(reason) => {
            problems.push(format!("{} cannot be used: {reason}", places::SBOM));
            None
        }
    }
}

fn read(text: &[u8]) -> Result<Value, String> {
    let document: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let head = ["/specVersion", "/metadata", "/components"].map(|pointer| document.pointer(pointer));
    head.into_iter().flatten().try_for_each(refuse_control_characters)?;
    let format = document.get("bomFormat").and_then(Value::as_str);
    if format == Some("CycloneDX") { Ok(document) } else { Err("it is no CycloneDX document".to_owned()) }
}

/// What it says of the layer, where the manifest says something else.
fn contradictions(contents: &Contents, document: &Value) -> Vec<String> {
    let Contents { cell, target, sources, .. } = contents;
    let properties = document.pointer("/metadata/properties").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let said = |name: &str| {
        let property = properties.iter().find(|property| text(property, "/name") == Some(name))?;
        text(property, "/value")
    };
    let named = [("cell", cell), ("target", target), ("revision", &sources.revision)];
    let others = named.into_iter().filter(|(name, value)| said(name) != Some(value.as_str()));
    others
        .map(|(name, value)| {
            let said = said(name).unwrap_or("nothing");
            format!("{} is of another layer: its {name} is {said}, and that of the manifest {value}", places::SBOM)
        })
        .collect()
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str)
}

impl Materials {
    fn of(document: &Value) -> Self {
        let of_document = |pointer: &str| text(document, pointer).map(str::to_owned);
        let mut components = BTreeMap::new();
        for component in document.get("components").and_then(Value::as_array).into_iter().flatten() {
            let kind = text(component, "/purl").and_then(|purl| purl.strip_prefix("pkg:")?.split('/').next());
            *components.entry(kind.unwrap_or("none").to_owned()).or_default() += 1;
        }
        let tool = of_document("/metadata/tools/components/0/name");
        let version = of_document("/metadata/tools/components/0/version");
        Self {
            spec_version: of_document("/specVersion").unwrap_or_default(),
            timestamp: of_document("/metadata/timestamp"),
            tool: tool.map(|tool| format!("{tool} {}", version.unwrap_or_default()).trim_end().to_owned()),
            supplier: of_document("/metadata/supplier/name"),
            components,
        }
    }

    /// All of it in one line.
    pub(super) fn line(&self) -> String {
        let counts = self.components.iter().map(|(kind, count)| format!("{count} pkg:{kind}"));
        let counts = counts.collect::<Vec<_>>().join(", ").replace("pkg:none", "without a package URL");
        let known = [("of", &self.timestamp), ("made by", &self.tool), ("supplied by", &self.supplier)];
        let known: String =
            known.iter().filter_map(|(what, value)| Some(format!(" {what} {}", value.as_ref()?))).collect();
        format!(
            "CycloneDX {}{known}: {} components, {counts}",
            self.spec_version,
            self.components.values().sum::<usize>()
        )
    }
}
