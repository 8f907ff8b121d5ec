//! Trusted certificates from a PEM bundle. Companies often distribute many certificates in one file, some of them old or malformed.

use std::{io, path::Path};

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject as _},
    },
};

use super::TlsWarning;
use crate::os::file;

/// Maximum size of a bundle in bytes. All of Mozilla's roots take 220 KB.
const MAX_BYTES: usize = 8 << 20;
/// The UTF-8 byte order mark that some editors write.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Adds every certificate of the file that can be a root, regardless of the others. `setting` names the file.
pub fn add(store: &mut RootCertStore, setting: &'static str, path: &Path) -> Option<TlsWarning> {
    let unused = |why: String| Some(TlsWarning::CertFile { setting, path: path.to_owned(), why });
    let mut added = CertificateCounts::default();
    if let Err(error) = added.add_file(store, path) {
        return unused(error.to_string());
    }
    if added.usable == 0 && added.why.is_none() {
        return unused("it holds no certificate".to_owned());
    }
    added.warning(setting, path)
}

/// Counts of usable and unusable certificates.
#[derive(Debug, Default)]
pub struct CertificateCounts {
    usable: usize,
    unusable: usize,
    /// What is wrong with the first unusable certificate.
    why: Option<String>,
}

impl CertificateCounts {
    /// Adds the certificates of a file. An error if the file cannot be read.
    pub fn add_file(&mut self, store: &mut RootCertStore, path: &Path) -> io::Result<()> {
        let pem = file::read(path, MAX_BYTES)?;
        for section in sections(pem.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&pem)) {
            match CertificateDer::from_pem_slice(section).map(|certificate| store.add(certificate)) {
                Ok(Ok(())) => self.usable += 1,
                Ok(Err(error)) => self.refuse(error.to_string()),
                // Another kind of section, such as a private key.
                Err(pem::Error::NoItemsFound) if !is_certificate(section) => {}
                Err(pem::Error::NoItemsFound) => self.refuse("its label, which is not CERTIFICATE".to_owned()),
                // The parser's own message quotes the file.
                Err(_) => self.refuse("invalid PEM".to_owned()),
            }
        }
        Ok(())
    }

    /// Counts an unusable certificate.
    pub fn refuse(&mut self, why: String) {
        self.unusable += 1;
        self.why.get_or_insert(why);
    }

    /// A warning if any certificate is unusable. `setting` names the file.
    pub fn warning(self, setting: &'static str, path: &Path) -> Option<TlsWarning> {
        let Self { usable, unusable, why } = self;
        let (path, why) = (path.to_owned(), why?);
        Some(if usable == 0 {
            let why = format!("none of its {unusable} certificates can be used, the first because of {why}");
            TlsWarning::CertFile { setting, path, why }
        } else {
            TlsWarning::Certificates { setting, path, unusable, total: usable + unusable, why }
        })
    }
}

/// Whether a section's label is that of a certificate, such as `TRUSTED CERTIFICATE` or `X509 CERTIFICATE`.
fn is_certificate(section: &[u8]) -> bool {
    let line = section.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    line.trim_ascii_end().ends_with(b"CERTIFICATE-----")
}

/// The sections of a file, from one `BEGIN` line to the next. Each is parsed separately, because a section without an `END` line would swallow the
/// next one.
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
    use crate::intake::client::tls_server::certificates::Authority;

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
    fn every_usable_certificate_becomes_a_root() {
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
    fn a_mark_before_the_first_certificate_does_not_hide_it() {
        let text = format!("\u{feff}{}{}", certificate("First"), certificate("Last"));
        assert_eq!(add_text(&text), (2, None));
    }

    #[test]
    fn a_certificate_under_another_label_is_counted() {
        for label in ["TRUSTED CERTIFICATE", "X509 CERTIFICATE"] {
            let other = certificate("Other").replace("CERTIFICATE", label);
            let (roots, warning) = add_text(&format!("{}{other}", certificate("First")));
            assert_eq!(roots, 1, "{label}");
            let warning = warning.unwrap();
            assert!(warning.contains("1 of 2 certificates cannot be used"), "{warning}");
        }
        let request = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
        assert_eq!(add_text(&format!("{}{request}", certificate("First"))), (1, None), "a request is none");
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
