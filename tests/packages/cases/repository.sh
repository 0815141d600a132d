#!/bin/sh
# apt takes the package from the signed repository alone: not with a broken signature, not with another key's, not
# with a package that was exchanged below it.

# refused WHAT PATTERN: neither the lists nor the package are taken.
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

# What `make repo` makes is for provision, which brings the source list: one in the folder would be a way around it.
check "source lists in the repository" "" "$(find /run/offer/sound -name '*.sources' -o -name '*.repo' -o -name '*.list')"
check_says "make repo" '^fingerprint [0-9A-F]{40}$' "$(cat /run/offer/sound.said)"
check "the script's SHA-256 that it prints" "provision   $(sha256sum </run/offer/sound/provision | cut -d ' ' -f 1)" \
    "$(grep '^provision ' /run/offer/sound.said)"
check "the packets of the key that it offers" "public user signature" \
    "$(gpg --batch --homedir "$MACHINE" --list-packets /run/offer/sound/eic-agent.asc 2>/dev/null | sed -n 's/^:\([a-z]*\) .*packet:.*/\1/p' | tr '\n' ' ' | sed 's/ $//')"

use_repository sound
run apt-get install --yes eic-agent
check "apt-get install's exit status, from the sound one" 0 "$status"
check "the version that is installed" "$VERSION" "$(version)"
