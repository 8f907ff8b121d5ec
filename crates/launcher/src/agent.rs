//! Paths of the agent's program.

use core::ffi::CStr;

use crate::text::Text;

/// Maximum length of a path on Linux in bytes (`PATH_MAX`), with the zero byte.
pub const MAX_PATH_BYTES: usize = 4096;

/// The path where this program has another one than `/opt/extensions/…`, or none.
const DEFAULT: &CStr = c"/opt/bottlecap/agent";
/// Below the folder that holds `extensions`. Everything in that one would be started by Lambda.
const BELOW_OPT: &[u8] = b"bottlecap/agent";

/// The agent's path, from the path by which this program was started: beside the folder in which it is.
pub fn path<'p>(program: Option<&CStr>, space: &'p mut Text<'_>) -> &'p CStr {
    let opt = program.and_then(|program| folder(folder(program.to_bytes())?));
    let Some(opt) = opt else { return DEFAULT };
    space.push(opt);
    space.push(BELOW_OPT);
    space.as_c_str().unwrap_or(DEFAULT)
}

/// The folder in which a file is, with the slash at its end; empty for the working directory, and None for a folder that has none above it.
fn folder(path: &[u8]) -> Option<&[u8]> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let end = path.iter().rposition(|byte| *byte == b'/').map(|slash| slash + 1);
    if path.is_empty() { None } else { path.get(..end.unwrap_or(0)) }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    fn of(program: Option<&CStr>) -> CString {
        path(program, &mut Text::new(&mut [0; MAX_PATH_BYTES])).to_owned()
    }

    #[test]
    fn the_agent_is_beside_the_folder_of_this_program() {
        for (program, expected) in [
            (c"/opt/extensions/datadog-agent", c"/opt/bottlecap/agent"),
            (c"/tmp/layer/extensions/x", c"/tmp/layer/bottlecap/agent"),
            (c"/extensions/x", c"/bottlecap/agent"),
            (c"extensions/x", c"bottlecap/agent"),
            (c"./extensions/x", c"./bottlecap/agent"),
            (c"x", DEFAULT),
            (c"/x", DEFAULT),
            (c"", DEFAULT),
        ] {
            assert_eq!(of(Some(program)).as_c_str(), expected, "{program:?}");
        }
        assert_eq!(of(None).as_c_str(), DEFAULT);
    }

    #[test]
    fn a_path_that_is_too_long_is_the_usual_one() {
        let long = CString::new(format!("/{}/extensions/x", "a".repeat(5000))).unwrap();
        assert_eq!(of(Some(&long)).as_c_str(), DEFAULT);
    }
}
