# shellcheck shell=bash
# Sourced by scripts that build the workspace somewhere else, or ask what it is built from.

# Whether nothing that goes into the program differs from a commit: its sources and dependencies, the compiler, and the part of the tool that decides how it is built.
same_program() {
    git diff --quiet "$1" -- src crates Cargo.toml Cargo.lock build.rs fips rust-toolchain.toml .cargo \
        matrix/optimizations.toml matrix/flavours.toml matrix/fips.toml \
        matrix/src/build matrix/src/elf matrix/src/flavour matrix/src/hash.rs matrix/src/manifest matrix/src/materials matrix/src/target.rs matrix/src/workspace
}

# Whether nothing that goes into the tool differs from a commit, nor how cargo builds it.
same_tool() {
    git diff --quiet "$1" -- matrix crates/agent-config crates/launcher/.cargo crates/waf/.cargo Cargo.toml Cargo.lock rust-toolchain.toml .cargo LICENSE
}

# Whether nothing differs from a commit that measures programs and judges them.
same_comparison() {
    git diff --quiet "$1" -- ci matrix
}

# Whether nothing but documents differs from a commit.
only_documents_differ() {
    git diff --quiet "$1" -- . ':(exclude)docs' ':(exclude,glob)**/*.md' ':(exclude)LICENSE' ':(exclude)NOTICE'
}

# Copies the sources with their history, wherever that is kept, into a directory that is not there yet. What is not committed yet is copied as well.
copy_sources() {
    git clone --quiet --no-checkout . "$1"
    git ls-files -z --cached --others --exclude-standard --deduplicate |
        tar --create --null --files-from=- --ignore-failed-read --warning=no-failed-read | tar --extract --directory="$1"
    git -C "$1" reset --quiet
}
