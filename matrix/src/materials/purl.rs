//! Package URLs, by which scanners know what a component is.
//!
//! Source: "Package URL specification" and its types `cargo`, `deb` and `generic`, <https://github.com/package-url/purl-spec>.

use std::fmt::Write as _;

use super::packages::{Key, Origin};

/// The package URL of a crate; none of what is published nowhere.
pub fn of_crate(key: &Key, origin: &Origin) -> Option<String> {
    match origin {
        Origin::Path => None,
        // Without a qualifier, the type cargo means the public registry.
        Origin::CratesIo => Some(purl("cargo", &key.name, &key.version, &[])),
        Origin::Registry(address) => Some(purl("cargo", &key.name, &key.version, &[("repository_url", address)])),
        Origin::Git(address) => Some(purl("generic", &key.name, &key.version, &[("vcs_url", address)])),
    }
}

/// A package URL. `kind` and qualifiers are as the specification has them, the qualifiers in the order of their names; an empty version is none.
pub fn purl(kind: &str, name: &str, version: &str, qualifiers: &[(&str, &str)]) -> String {
    let version = if version.is_empty() { String::new() } else { format!("@{}", encoded(version)) };
    let mut text = format!("pkg:{kind}/{name}{version}");
    for (index, (name, value)) in qualifiers.iter().enumerate() {
        let _ = write!(text, "{}{name}={}", if index == 0 { '?' } else { '&' }, encoded(value));
    }
    text
}

/// Percent-encoded where the specification asks for it: a `+` would be read as a blank, and an `@` as the begin of a version.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                encoded.push(char::from(byte));
            }
            other => {
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_published_crates_are_pkg_cargo() {
        let of = |source: Option<&str>| of_crate(&Key::new("a", "1.0.0+b.2"), &Origin::of(source));
        let crates_io = "registry+https://github.com/rust-lang/crates.io-index";
        assert_eq!(of(Some(crates_io)).as_deref(), Some("pkg:cargo/a@1.0.0%2Bb.2"));
        assert_eq!(of(None), None, "a member of the workspace, or a path");
        let other = "pkg:cargo/a@1.0.0%2Bb.2?repository_url=https://crates.example.com/index";
        assert_eq!(of(Some("registry+https://crates.example.com/index")).as_deref(), Some(other));
        assert_eq!(of(Some("sparse+https://crates.example.com/index/")).as_deref(), Some(format!("{other}/").as_str()));
        let git = "pkg:generic/a@1.0.0%2Bb.2?vcs_url=git%2Bhttps://example.com/a.git%400123abc";
        assert_eq!(of(Some("git+https://example.com/a.git?rev=0123#0123abc")).as_deref(), Some(git));
    }

    #[test]
    fn a_version_and_qualifiers_are_encoded() {
        let text = purl("deb", "debian/libc6-dev", "1:2.36-9+deb12u1~x", &[("arch", "amd64"), ("distro", "debian-12")]);
        assert_eq!(text, "pkg:deb/debian/libc6-dev@1:2.36-9%2Bdeb12u1~x?arch=amd64&distro=debian-12");
        assert_eq!(purl("generic", "x", "", &[]), "pkg:generic/x");
    }
}
