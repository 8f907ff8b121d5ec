//! Names the program interpreter of the target, which no C compiler adds here, and where `libddwaf.so` is while the program is linked.

use std::env;

fn main() {
    println!("cargo::rerun-if-env-changed=LIBDDWAF");
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let interpreter =
        if architecture == "aarch64" { "/lib/ld-linux-aarch64.so.1" } else { "/lib64/ld-linux-x86-64.so.2" };
    for kind in ["bins", "examples"] {
        println!("cargo::rustc-link-arg-{kind}=--dynamic-linker={interpreter}");
    }
    // Nothing is linked where the sources are only checked.
    if let Ok(folder) = env::var("LIBDDWAF") {
        println!("cargo::rustc-link-search=native={folder}");
    }
}
