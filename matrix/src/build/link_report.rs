//! What a linker writes down of the files that it opens.

use std::path::PathBuf;

/// The report of one link: a rule for make, with every object, archive, library and script that the linker has read, wherever it has found them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkReport {
    pub file: PathBuf,
    /// Where the linker was started, from where relative names in it count.
    pub folder: PathBuf,
}

impl LinkReport {
    /// The arguments by which rustc has the linker write it. GNU's linker knows the option since binutils 2.35, and so does LLVM's.
    pub fn arguments(&self, is_linker_called_directly: bool) -> Vec<String> {
        // A C compiler hands on what follows this option as it is, where another would take a comma in the name for the end of it.
        let hand_on = (!is_linker_called_directly).then_some("-Clink-arg=-Xlinker".to_owned());
        hand_on.into_iter().chain([format!("-Clink-arg=--dependency-file={}", self.file.display())]).collect()
    }
}
