#!/bin/sh
# The commands of docs/install.md on systems with dnf: Amazon's package replaced, and back.

# follow START: each dnf command of a block of docs/install.md.
follow() {
    documented docs/install.md "$1" | sed 's/ && /\n/g' >"$MACHINE/commands"
    while read -r sudo dnf words; do
        check "the command" "sudo dnf" "$sudo $dnf"
        # shellcheck disable=SC2086 # words on purpose
        dnf_from sound $words </dev/null
        check "the exit status of dnf $words" 0 "$status"
    done <"$MACHINE/commands"
}

installed() { rpm --root "$ROOT" -qa --qf '%{NAME}\n' | grep -E 'eic|ec2'; }

start_metadata
own_key ec2-user
start_rpm
shape amazon-linux-2
dnf_from sound install ec2-instance-connect-1.1
check "dnf's exit status, the reference" 0 "$status"
lay

follow 'sudo dnf swap ec2-instance-connect eic-agent'
check "the package after the swap" eic-agent "$(installed)"
check_pair ec2-user "$OURS as eic-agent"
start_sshd
push ec2-user pushed
check_login ec2-user pushed

follow 'sudo dnf remove eic-agent
'
check "the package after the removal" "" "$(installed)"
check_sshd_t

dnf_from sound install eic-agent
check "dnf's exit status" 0 "$status"
follow 'sudo dnf remove eic-agent &&'
check "the package after the way back" ec2-instance-connect "$(installed)"
