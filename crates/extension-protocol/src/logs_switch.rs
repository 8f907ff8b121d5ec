//! Whether the environment turns logs off, for a launcher that has not loaded the settings.

/// Whether the variables leave logs on: unless one of the logs switch is set, and each one that is set says false. The names are those of the settings:
/// `SERVERLESS_LOGS_ENABLED` and `LOGS_ENABLED` with the prefix `DD_` or `DATADOG_`, in any case. The agent, which resolves all settings, drops the lines
/// where this returns true and it wants none; it never wants any where this returns false.
///
/// `variables`: texts `NAME=value`.
pub fn wants_logs<'v>(variables: impl Iterator<Item = &'v [u8]>) -> bool {
    let mut is_off = false;
    for variable in variables {
        let mut rest = variable;
        if is_switch(&mut rest) {
            is_off = is_false(&mut rest);
            if !is_off {
                break;
            }
        }
    }
    !is_off
}

/// Whether the variable is one of the logs switch; leaves its value.
fn is_switch(rest: &mut &[u8]) -> bool {
    let has_prefix = skip(rest, b"dd_") || skip(rest, b"datadog_");
    skip(rest, b"serverless_");
    has_prefix && skip(rest, b"logs_enabled=")
}

/// Whether a value is false, with quotes around it or without.
fn is_false(rest: &mut &[u8]) -> bool {
    let is_quoted = skip(rest, b"\"");
    (skip(rest, b"false") || skip(rest, b"0")) && skip(rest, b"\"") == is_quoted && rest.is_empty()
}

/// Skips a word, which is in lower case here and in any there. Returns whether it was there.
fn skip(rest: &mut &[u8], word: &[u8]) -> bool {
    let Some((start, after)) = rest.split_at_checked(word.len()) else { return false };
    // The function of `core` for this compares many bytes at once, and would be as large as all of this.
    let is_it = start.iter().zip(word).all(|(byte, expected)| byte.to_ascii_lowercase() == *expected);
    if is_it {
        *rest = after;
    }
    is_it
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(variables: &[&str]) -> bool {
        wants_logs(variables.iter().map(|variable| variable.as_bytes()))
    }

    #[test]
    fn logs_are_off_if_every_variable_of_the_switch_is_false() {
        for off in [
            &["DD_SERVERLESS_LOGS_ENABLED=false"][..],
            &["A=1", "DD_LOGS_ENABLED=0", "B=true"],
            &["DATADOG_SERVERLESS_LOGS_ENABLED=False"],
            &["dd_logs_enabled=FALSE", "DATADOG_LOGS_ENABLED=false"],
            &["DD_LOGS_ENABLED=\"false\""],
        ] {
            assert!(!wants(off), "{off:?}");
        }
        for on in [
            &[][..],
            &["DD_SERVERLESS_LOGS_ENABLED=true"],
            &["DD_SERVERLESS_LOGS_ENABLED=false", "DD_LOGS_ENABLED=true"],
            &["DD_LOGS_ENABLED=1", "DD_SERVERLESS_LOGS_ENABLED=false"],
            &["DD_LOGS_ENABLED="],
            &["DD_LOGS_ENABLED=flase"],
            &["DD_LOGS_ENABLED=\"false"],
            &["DD_LOGS_ENABLED=false\""],
            &["DD_LOGS_ENABLED=false0"],
            &["DD_LOGS_ENABLED"],
            &["LOGS_ENABLED=false"],
            &["XDD_LOGS_ENABLED=false", "DD_LOGS_ENABLED_X=false", "DD_APPSEC_ENABLED=false", "é=false"],
        ] {
            assert!(wants(on), "{on:?}");
        }
    }
}
