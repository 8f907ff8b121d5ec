//! Certificates from a file in PEM, as companies hand them out: often many in one file, some of them old and odd.

use std::path::Path;

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject as _},
    },
};

use super::TlsWarning;
use crate::os::file;

/// The largest file that is read. All of Mozilla's roots have 220 KB.
const MAX_BYTES: usize = 8 << 20;

/// Adds every certificate of the file that `setting` names and that can be a root, whatever the others are.
pub fn add(store: &mut RootCertStore, setting: &'static str, path: &Path) -> Option<TlsWarning> {
    let unused = |why: String| Some(TlsWarning::CertFile { setting, path: path.to_owned(), why });
    let pem = match file::read(path, MAX_BYTES) {
        Ok(pem) => pem,
        Err(error) => return unused(error.to_string()),
    };
    let Added { usable, unusable, why } = add_each(store, &pem);
    match (usable, why) {
        (0, None) => unused("it holds no certificate".to_owned()),
        (0, Some(why)) => {
            unused(format!("none of its {unusable} certificates can be used, the first because of {why}"))
        }
        (_, Some(why)) => {
            let total = usable + unusable;
            Some(TlsWarning::Certificates { setting, path: path.to_owned(), unusable, total, why })
        }
        (_, None) => None,
    }
}

/// What became of the certificates of a file.
#[derive(Debug, Default)]
struct Added {
    usable: usize,
    unusable: usize,
    /// What is wrong with the first unusable one.
    why: Option<String>,
}

fn add_each(store: &mut RootCertStore, pem: &[u8]) -> Added {
    let mut added = Added::default();
    for section in sections(pem) {
        let why = match CertificateDer::from_pem_slice(section) {
            Ok(certificate) => store.add(certificate).err().map(|error| error.to_string()),
            // Another kind, such as a key.
            Err(pem::Error::NoItemsFound) => continue,
            // The reader's own words quote the file.
            Err(_) => Some("invalid PEM".to_owned()),
        };
        match why {
            None => added.usable += 1,
            Some(why) => {
                added.unusable += 1;
                added.why.get_or_insert(why);
            }
        }
    }
    added
}

/// The parts of a file that begin with a certificate. Each is read by itself, because one without an end would take the next one with it.
fn sections(pem: &[u8]) -> impl Iterator<Item = &[u8]> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let begins = |at: &usize| {
        let at_line = at.checked_sub(1).is_none_or(|before| matches!(pem.get(before), Some(b'\n' | b'\r')));
        at_line && pem.get(*at..).is_some_and(|rest| rest.starts_with(BEGIN))
    };
    let starts: Vec<usize> = (0..pem.len()).filter(begins).collect();
    let ends = starts.clone().into_iter().skip(1).chain([pem.len()]);
    starts.into_iter().zip(ends).filter_map(|(from, to)| pem.get(from..to))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;
    use crate::intake::client::https::certificates::Authority;

    fn section(der: &[u8]) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
    }

    fn certificate(name: &str) -> String {
        section(&Authority::new(name).certificate)
    }

    fn add_text(text: &str) -> (usize, Option<String>) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        fs::write(&file, text).unwrap();
        let mut store = RootCertStore::empty();
        let warning = add(&mut store, "DD_TLS_CERT_FILE", &file);
        (store.len(), warning.map(|warning| warning.to_string().replace(file.to_str().unwrap(), "ca.pem")))
    }

    #[test]
    fn every_certificate_that_can_be_a_root_is_one_whatever_stands_before_it() {
        let (first, last) = (certificate("First"), certificate("Last"));
        assert_eq!(add_text(&format!("# ours\n{first}\r\n{last}")), (2, None));
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(add_text(&format!("{first}{key}{last}")), (2, None), "a key is no certificate");
        for odd in [
            section(b"no certificate"),
            section(&[0x30; 300]),
            "-----BEGIN CERTIFICATE-----\n?????\n-----END CERTIFICATE-----\n".to_owned(),
            first.replace("-----END CERTIFICATE-----\n", ""),
            first.replace("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE----"),
        ] {
            let (roots, warning) = add_text(&format!("{first}{odd}{last}"));
            assert_eq!(roots, 2, "{odd}");
            let warning = warning.unwrap();
            let beginning =
                "DD_TLS_CERT_FILE \"ca.pem\": 1 of 3 certificates cannot be used, the first of them because of ";
            assert!(warning.starts_with(beginning), "{warning}");
        }
    }

    #[test]
    fn a_file_without_a_usable_certificate_says_why() {
        let unused = |text: &str| add_text(text).1.unwrap();
        assert_eq!(unused("text"), "DD_TLS_CERT_FILE \"ca.pem\" is not used: it holds no certificate");
        let odd = unused(&section(b"odd").repeat(3));
        assert!(odd.contains("none of its 3 certificates can be used, the first because of "), "{odd}");
        let secret = unused("-----BEGIN CERTIFICATE secret\n");
        assert!(secret.ends_with("because of invalid PEM"), "{secret}");
    }

    #[test]
    fn what_is_no_regular_file_is_not_read() {
        for path in ["/dev/zero", "/dev/null", "/proc"] {
            let warning = add(&mut RootCertStore::empty(), "X", Path::new(path)).unwrap().to_string();
            assert!(warning.ends_with("is not used: it is not a regular file"), "{warning}");
        }
    }
}
