#!/bin/sh
# apt accepts the package only from the correctly signed repository. It refuses a missing or broken signature, a
# signature by another key, and a changed package.

# refused WHAT PATTERN: checks that apt accepts neither the lists nor the package.
refused() {
    run apt-get update
    said=$output
    run apt-get install --yes eic-agent
    check_says "$1" "$2" "$said$output"
    check "apt-get install's exit status, $1" 100 "$status"
    check "the version that is installed, $1" "" "$(version)"
}

# try NAME PATTERN
try() {
    set_repository "$1"
    refused "$1" "$2"
    rm -rf "${ROOT:?}"/var/lib/apt/lists/*
}
try no-signature 'not signed'
try other-key 'NO_PUBKEY'
try changed-index 'BADSIG'
try changed-package 'hash sum mismatch'

# provision writes the source list itself. A list in the repository would be a way around its checks.
check "source lists in the repository" "" "$(find /run/offer/sound -name '*.sources' -o -name '*.repo' -o -name '*.list')"
check_says "make repo" '^fingerprint [0-9A-F]{40}$' "$(cat /run/offer/sound.said)"
check "the script's SHA-256 that it prints" "provision   $(sha256sum </run/offer/sound/provision | cut -d ' ' -f 1)" \
    "$(grep '^provision ' /run/offer/sound.said)"
check "the packets of the key that it offers" "public user signature" \
    "$(gpg --batch --homedir "$MACHINE" --list-packets /run/offer/sound/eic-agent.asc 2>/dev/null | sed -n 's/^:\([a-z]*\) .*packet:.*/\1/p' | tr '\n' ' ' | sed 's/ $//')"

use_repository sound
run apt-get install --yes eic-agent
check "apt-get install's exit status, from the sound repository" 0 "$status"
check "the version that is installed" "$VERSION" "$(version)"
