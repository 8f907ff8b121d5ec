//! `bottlecap/sbom.cdx.json`: what the layer is made of, as `CycloneDX` 1.5 has it.
//!
//! The document has no time in it, and its serial number is drawn from its content: the same components are the same bytes.

use serde::Serialize;

use super::contents::Contents;
use super::packages::{Key, Package, Packages, ROOT};
use super::parts::Part;
use crate::build::hash;

/// `CycloneDX` 1.5, "Bill of Materials Standard": its root.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Bom {
    #[serde(rename = "bomFormat")]
    format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Clone, Debug, Serialize)]
struct Metadata {
    component: Component,
    properties: Vec<Property>,
}

#[derive(Clone, Debug, Serialize)]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    reference: String,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    /// `required` for what is in the programs, `excluded` for what only runs while they are built.
    scope: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Licence>,
    purl: String,
}

#[derive(Clone, Debug, Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Clone, Debug, Serialize)]
struct Licence {
    expression: String,
}

#[derive(Clone, Debug, Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<String>,
}

/// The document for a layer. `of` names the layer; its list of files may still be empty.
pub fn document(of: &Contents, packages: &Packages, parts: &[Part]) -> serde_json::Result<Vec<u8>> {
    let root = packages.0.iter().find(|(key, _)| key.name == ROOT);
    let root = root.map_or_else(|| Component::layer(&Key::new(ROOT, "unknown")), |(key, _)| Component::layer(key));
    let others = packages.0.iter().filter(|(key, _)| key.name != ROOT);
    let components =
        others.map(|(key, package)| Component::package(key, package)).chain(parts.iter().map(Component::part));
    let mut dependencies: Vec<Dependency> = packages
        .0
        .iter()
        .map(|(key, package)| Dependency { reference: purl(key), depends_on: package.needs.iter().map(purl).collect() })
        .collect();
    // Nobody but the programs themselves needs them: the linker adds them.
    for dependency in dependencies.iter_mut().filter(|dependency| dependency.reference == root.reference) {
        dependency.depends_on.extend(parts.iter().map(Part::purl));
    }
    dependencies.extend(parts.iter().map(|part| Dependency { reference: part.purl(), depends_on: Vec::new() }));
    let told = [("cell", &of.cell), ("target", &of.target), ("revision", &of.sources.revision)];
    let properties = told.map(|(name, value)| Property { name, value: value.clone() }).to_vec();
    let mut bom = Bom {
        format: "CycloneDX",
        spec_version: "1.5",
        serial_number: String::new(),
        version: 1,
        metadata: Metadata { component: root, properties },
        components: components.collect(),
        dependencies,
    };
    bom.serial_number = serial_number(&serde_json::to_vec(&bom)?);
    let mut text = serde_json::to_vec_pretty(&bom)?;
    text.push(b'\n');
    Ok(text)
}

impl Component {
    fn layer(key: &Key) -> Self {
        let licence = Licence { expression: "Apache-2.0".to_owned() };
        Self { kind: "application", hashes: Vec::new(), licenses: vec![licence], ..Self::library(key, purl(key)) }
    }

    fn package(key: &Key, package: &Package) -> Self {
        let hash = package.checksum.iter().map(|sum| Hash { alg: "SHA-256", content: sum.clone() });
        let licence = package.licence.iter().map(|licence| Licence { expression: licence.clone() });
        Self {
            scope: if package.linked { "required" } else { "excluded" },
            hashes: hash.collect(),
            licenses: licence.collect(),
            ..Self::library(key, purl(key))
        }
    }

    fn part(part: &Part) -> Self {
        let licence = Licence { expression: part.licence.to_owned() };
        Self { licenses: vec![licence], ..Self::library(&Key::new(part.name, &part.version), part.purl()) }
    }

    fn library(key: &Key, purl: String) -> Self {
        Self {
            kind: "library",
            reference: purl.clone(),
            name: key.name.clone(),
            version: key.version.clone(),
            scope: "required",
            hashes: Vec::new(),
            licenses: Vec::new(),
            purl,
        }
    }
}

impl Part {
    fn purl(&self) -> String {
        let version = if self.version.is_empty() { String::new() } else { format!("@{}", encoded(&self.version)) };
        format!("pkg:generic/{}{version}", self.name)
    }
}

/// "Package URL specification", type cargo: without a qualifier it is the public registry's.
fn purl(key: &Key) -> String {
    format!("pkg:cargo/{}@{}", key.name, encoded(&key.version))
}

/// A `+` would be read as a blank.
fn encoded(version: &str) -> String {
    version.replace('+', "%2B")
}

fn serial_number(content: &[u8]) -> String {
    let digits = hash::hexadecimal(content);
    let digest = u128::from_str_radix(digits.get(..32).unwrap_or_default(), 16).unwrap_or_default();
    format!("urn:uuid:{}", uuid::Builder::from_custom_bytes(digest.to_be_bytes()).into_uuid())
}
