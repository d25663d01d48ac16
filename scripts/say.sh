# shellcheck shell=bash
# Sourced by every script here: where the repository is, and how a script talks.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1

# say prints one line for one step.
say() { printf '%s: %s\n' "${0##*/}" "$*"; }

# die prints what is wrong and what to do about it, and ends the script.
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# have says whether a command is on the PATH.
have() { command -v "$1" >/dev/null 2>&1; }
