//! What this binary is: what `--version` prints, and `cargo matrix` checks before it reports a cell.

mod flags;

use std::fmt::Write as _;

use flags::{FLAGS, Flags};

use crate::features::{SWITCHES, Switch};

/// The facts of one build, all known at compile time.
#[derive(Debug, Clone, Copy)]
pub struct BuildInfo {
    /// The package's version.
    pub version: &'static str,
    /// The commit, twelve hexadecimal digits, or `unknown` where neither git nor the environment says it.
    pub git_sha: &'static str,
    /// The target triple.
    pub target: &'static str,
    /// The Cargo profile's base: `debug` or `release`.
    pub profile: &'static str,
    /// rustc's optimization level: `0` to `3`, `s` or `z`.
    pub opt_level: &'static str,
    /// The target features and the `RUSTFLAGS` of the build.
    pub flags: &'static Flags,
    /// Every switch, on or off.
    pub switches: &'static [Switch],
}

/// This binary.
pub const BUILD_INFO: BuildInfo = BuildInfo {
    version: env!("CARGO_PKG_VERSION"),
    git_sha: env!("BOTTLECAP_GIT_SHA"),
    target: env!("BOTTLECAP_TARGET"),
    profile: env!("BOTTLECAP_PROFILE"),
    opt_level: env!("BOTTLECAP_OPT_LEVEL"),
    flags: &FLAGS,
    switches: SWITCHES,
};

impl BuildInfo {
    /// Lambda's name of the processor that this binary runs on: `x86_64` or `arm64`; other targets keep rustc's name.
    pub fn architecture(&self) -> &'static str {
        match self.target.split('-').next() {
            Some("aarch64") => "arm64",
            Some(architecture) => architecture,
            None => self.target,
        }
    }

    /// For people: one fact a line, then one switch a line as `+name` or `-name`.
    pub fn text(&self) -> String {
        let flags = self.flags.rustflags();
        let mut text = format!(
            "bottlecap {} ({})\ntarget {}\nprofile {}, opt-level {}\ntarget features {}\nflags {}",
            self.version,
            self.git_sha,
            self.target,
            self.profile,
            self.opt_level,
            self.flags.target_features(),
            if flags.is_empty() { "(none)" } else { flags },
        );
        for switch in self.switches {
            let sign = if switch.on { '+' } else { '-' };
            let _ = write!(text, "\n{sign}{}", switch.name);
        }
        text
    }

    /// For tools: one JSON object on one line; `switches` maps each name to a boolean. `crypto` is what the cryptography says of itself.
    pub fn json(&self, crypto: &serde_json::Value) -> String {
        let switches: serde_json::Map<_, _> =
            self.switches.iter().map(|switch| (switch.name.to_owned(), switch.on.into())).collect();
        serde_json::json!({
            "name": "bottlecap",
            "version": self.version,
            "git_sha": self.git_sha,
            "target": self.target,
            "profile": self.profile,
            "opt_level": self.opt_level,
            "target_features": self.flags.target_features().split(',').collect::<Vec<_>>(),
            "flags": self.flags.rustflags().split_whitespace().collect::<Vec<_>>(),
            "switches": switches,
            "crypto": crypto,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SAMPLE_FLAGS: Flags = Flags::new("sse2\n-C target-cpu=x86-64-v2");
    const SAMPLE: BuildInfo = BuildInfo {
        flags: &SAMPLE_FLAGS,
        switches: &[Switch { name: "off-one", on: false }, Switch { name: "on-one", on: true }],
        ..BUILD_INFO
    };

    #[test]
    fn text_lists_every_switch_with_its_sign() {
        let text = SAMPLE.text();
        assert!(text.ends_with("\n-off-one\n+on-one"), "{text}");
        assert!(text.contains("flags -C target-cpu=x86-64-v2\n"), "{text}");
    }

    #[test]
    fn json_maps_every_switch_to_its_state() {
        let value: serde_json::Value = serde_json::from_str(&SAMPLE.json(&"any".into())).unwrap();
        assert_eq!(value["crypto"], "any");
        assert_eq!(value["switches"], serde_json::json!({"off-one": false, "on-one": true}));
        assert_eq!(value["target_features"], serde_json::json!(["sse2"]));
        assert_eq!(value["flags"], serde_json::json!(["-C", "target-cpu=x86-64-v2"]));
        assert_eq!(value["target"], BUILD_INFO.target);
    }

    #[test]
    fn switches_are_sorted_by_name() {
        assert!(SWITCHES.is_sorted_by_key(|switch| switch.name));
    }
}
