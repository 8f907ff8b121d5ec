//! What Lambda takes ("Lambda quotas", deployment packages).

/// Bytes of a function with all of its layers, unpacked: 250 MB.
pub const UNZIPPED: u64 = 250 * 1024 * 1024;
/// Bytes of a zip file that is uploaded directly: 50 MB.
pub const ZIPPED: u64 = 50 * 1024 * 1024;
/// Layers of a function.
pub const LAYERS: usize = 5;

/// In which way sizes are beyond what Lambda takes.
pub fn complaints(zipped: u64, unzipped: u64) -> Vec<String> {
    let mut complaints = Vec::new();
    if zipped > ZIPPED {
        complaints.push(format!("its {zipped} bytes are more than the {ZIPPED} that can be uploaded directly"));
    }
    if unzipped > UNZIPPED {
        complaints
            .push(format!("unpacked it has {unzipped} bytes, and a function with all of its layers only {UNZIPPED}"));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_what_is_allowed_is_allowed() {
        assert_eq!(complaints(ZIPPED, UNZIPPED), Vec::<String>::new());
        assert!(complaints(ZIPPED + 1, UNZIPPED).concat().contains("uploaded directly"));
        assert!(complaints(ZIPPED, UNZIPPED + 1).concat().contains("all of its layers"));
    }
}
