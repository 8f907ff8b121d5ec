//! SHA-256, in hexadecimal.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// The SHA-256 of some bytes, in hexadecimal.
pub fn hexadecimal(bytes: &[u8]) -> String {
    let mut context = Sha256::new();
    context.update(bytes);
    finish(context)
}

/// The SHA-256 of the concatenated contents of files, in hexadecimal.
pub fn of_files<'p>(paths: impl IntoIterator<Item = &'p Path>) -> io::Result<String> {
    let mut context = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    for path in paths {
        let mut file = File::open(path)?;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            context.update(buffer.get(..read).unwrap_or_default());
        }
    }
    Ok(finish(context))
}

fn finish(context: Sha256) -> String {
    let mut text = String::new();
    for byte in context.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_hash_like_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), "ab").unwrap();
        std::fs::write(path("b"), "c").unwrap();
        // The test vector of FIPS 180-4.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hexadecimal(b"abc"), abc);
        assert_eq!(of_files([path("a").as_path(), path("b").as_path()]).unwrap(), abc);
        assert!(of_files([path("c").as_path()]).is_err());
    }
}
