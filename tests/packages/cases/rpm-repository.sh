#!/bin/sh
# dnf accepts the package only from the correctly signed repository. It refuses unsigned packages, a stranger's
# signature and a changed index.

start_rpm

# refused REPOSITORY PATTERN
refused() {
    dnf_from "$1" install eic-agent
    check "dnf install's exit status, $1" 1 "$status"
    check_says "dnf, $1" "$2" "$output"
    check "the version that is installed, $1" "" "$(rpm_version)"
}
refused unsigned-package 'is not signed'
refused stranger-package 'Public key for eic-agent.* is not installed'
refused changed-package 'checksum|corrupt'
refused changed-index 'Bad GPG signature'
refused no-signature 'GPG signature is not available'
refused other-key 'Bad GPG signature'

dnf_from sound install eic-agent
check "dnf install's exit status, from the sound repository" 0 "$status"
check "the version that is installed" "$VERSION" "$(rpm_version)"
