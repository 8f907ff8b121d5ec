//! Has the program linked again when the linker's script changes, which cargo does not know; decides nothing.

fn main() {
    println!("cargo::rerun-if-changed=layout.ld");
}
