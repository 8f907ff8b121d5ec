# Sourced by scripts that build the workspace somewhere else.

# Copies the sources with their history, wherever that is kept, into a directory that is not there yet. What is not committed yet is copied as well.
copy_sources() {
    git clone --quiet --no-checkout . "$1"
    git ls-files -z --cached --others --exclude-standard --deduplicate |
        tar --create --null --files-from=- --ignore-failed-read --warning=no-failed-read | tar --extract --directory="$1"
    git -C "$1" reset --quiet
}
