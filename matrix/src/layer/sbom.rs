//! `bottlecap/sbom.cdx.json`: what the layer is made of, as `CycloneDX` 1.5 has it.
//!
//! Its time is that of the sources, and its serial number is drawn from its content: the same components are the same bytes.

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::contents::Contents;
use crate::hash;
use crate::materials::packages::{Key, Package, Packages, ROOT};
use crate::materials::parts::{Part, Source};
use crate::materials::purl;

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
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    lifecycles: [Lifecycle; 1],
    tools: Tools,
    component: Component,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<Organization>,
    properties: Vec<Property>,
}

#[derive(Clone, Debug, Serialize)]
struct Lifecycle {
    phase: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Tools {
    components: [Tool; 1],
}

/// What has made the document.
#[derive(Clone, Debug, Serialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    version: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Organization {
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    url: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<Organization>,
    #[serde(skip_serializing_if = "String::is_empty")]
    author: String,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    /// `required` for what is in the programs, `excluded` for what only runs while they are built.
    scope: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Licence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Reference>,
}

#[derive(Clone, Debug, Serialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
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
pub fn document(
    of: &Contents,
    time: OffsetDateTime,
    packages: &Packages,
    parts: &[Part],
) -> serde_json::Result<Vec<u8>> {
    let unknown = (Key::new(ROOT, "unknown"), Package::default());
    let root = packages.0.iter().find(|(key, _)| key.name == ROOT);
    let (key, package) = root.unwrap_or((&unknown.0, &unknown.1));
    let others = packages.0.iter().filter(|(key, _)| key.name != ROOT);
    let components =
        others.map(|(key, package)| Component::package(key, package)).chain(parts.iter().map(Component::part));
    let named = [("cell", &of.cell), ("target", &of.target), ("revision", &of.sources.revision)];
    let metadata = Metadata {
        timestamp: time.format(&Rfc3339).ok(),
        lifecycles: [Lifecycle { phase: "build" }],
        tools: Tools { components: [Tool { kind: "application", name: "matrix", version: env!("CARGO_PKG_VERSION") }] },
        component: Component::layer(key, package),
        supplier: supplier(package),
        properties: named.map(|(name, value)| Property { name, value: value.clone() }).to_vec(),
    };
    let mut bom = Bom {
        format: "CycloneDX",
        spec_version: "1.5",
        serial_number: String::new(),
        version: 1,
        metadata,
        components: components.collect(),
        dependencies: dependencies(packages, parts),
    };
    bom.serial_number = serial_number(&serde_json::to_vec(&bom)?);
    let mut text = serde_json::to_vec_pretty(&bom)?;
    text.push(b'\n');
    Ok(text)
}

/// Who needs what. C code in a crate hangs on that crate, and what the linker adds, on the programs themselves.
fn dependencies(packages: &Packages, parts: &[Part]) -> Vec<Dependency> {
    let reference_of = |key: &Key| packages.0.get(key).map(|package| reference(key, package));
    let parts_of = |of: &Key| {
        let parts = parts.iter().filter(|part| match &part.source {
            Source::Crate { key, .. } => key == of,
            Source::Compiler | Source::Artefact | Source::System(_) => of.name == ROOT,
        });
        parts.map(Component::reference_of_part).collect::<Vec<_>>()
    };
    let of_packages = packages.0.iter().map(|(key, package)| Dependency {
        reference: reference(key, package),
        depends_on: package.needs.iter().filter_map(reference_of).chain(parts_of(key)).collect(),
    });
    let of_parts =
        parts.iter().map(|part| Dependency { reference: Component::reference_of_part(part), depends_on: Vec::new() });
    of_packages.chain(of_parts).collect()
}

/// Who supplies the layer: whoever `Cargo.toml` names as its authors.
fn supplier(package: &Package) -> Option<Organization> {
    let name = package.authors.join(", ");
    let url = package.repository.iter().cloned().collect();
    (!name.is_empty()).then_some(Organization { name, url })
}

/// Its package URL, or its name and version where it has none.
fn reference(key: &Key, package: &Package) -> String {
    purl::of_crate(key, &package.origin).unwrap_or_else(|| format!("{}@{}", key.name, key.version))
}

impl Component {
    fn layer(key: &Key, package: &Package) -> Self {
        let vcs = package.repository.iter().map(|url| Reference { kind: "vcs", url: url.clone() });
        Self {
            kind: "application",
            supplier: supplier(package),
            external_references: vcs.collect(),
            ..Self::package(key, package)
        }
    }

    fn package(key: &Key, package: &Package) -> Self {
        let hash = package.checksum.iter().map(|sum| Hash { alg: "SHA-256", content: sum.clone() });
        let licence = package.licence.iter().map(|licence| Licence { expression: licence.clone() });
        Self {
            author: package.authors.join(", "),
            scope: if package.linked { "required" } else { "excluded" },
            hashes: hash.collect(),
            licenses: licence.collect(),
            purl: purl::of_crate(key, &package.origin),
            ..Self::library(reference(key, package), &key.name, &key.version)
        }
    }

    fn part(part: &Part) -> Self {
        let (supplier, upstream, description) = match &part.source {
            Source::Compiler | Source::Artefact => (None, None, String::new()),
            Source::System(package) => (Some(package.maintainer.clone()), None, part.name.to_owned()),
            Source::Crate { key, upstream } => (None, Some(*upstream), format!("C code and assembly in {key}")),
        };
        Self {
            supplier: supplier.map(|name| Organization { name, url: Vec::new() }),
            description,
            licenses: vec![Licence { expression: part.licence.to_owned() }],
            cpe: part.cpe(),
            purl: Some(part.purl()),
            external_references: upstream.iter().map(|url| Reference { kind: "vcs", url: (*url).to_owned() }).collect(),
            ..Self::library(Self::reference_of_part(part), part.component(), &part.version)
        }
    }

    /// Two crates may carry the same code.
    fn reference_of_part(part: &Part) -> String {
        match &part.source {
            Source::Compiler | Source::Artefact | Source::System(_) => part.purl(),
            Source::Crate { key, .. } => format!("{}#{}@{}", part.purl(), key.name, key.version),
        }
    }

    fn library(reference: String, name: &str, version: &str) -> Self {
        Self {
            kind: "library",
            reference,
            supplier: None,
            author: String::new(),
            name: name.to_owned(),
            version: version.to_owned(),
            description: String::new(),
            scope: "required",
            hashes: Vec::new(),
            licenses: Vec::new(),
            cpe: None,
            purl: None,
            external_references: Vec::new(),
        }
    }
}

fn serial_number(content: &[u8]) -> String {
    let digits = hash::hexadecimal(content);
    let digest = u128::from_str_radix(digits.get(..32).unwrap_or_default(), 16).unwrap_or_default();
    format!("urn:uuid:{}", uuid::Builder::from_custom_bytes(digest.to_be_bytes()).into_uuid())
}
