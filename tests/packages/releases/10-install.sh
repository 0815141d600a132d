#!/bin/sh
# `dpkg -i` enables the agent in a fresh installation

run dpkg -i "$DEB"
check "dpkg's exit status" 0 "$status"
check "our drop-in" yes "$([ -e "$DROP_IN" ] && echo yes)"
check_sshd_t
check_pair ec2-user "$OURS as eic-agent"
effective ec2-user >"$MACHINE/effective-now"
check_same "sshd's other settings" "$MACHINE/effective" "$MACHINE/effective-now"
# If the installation did not enable the agent, the checks above have failed. Enable it here, so the other rows are
# still tested.
[ -e "$DROP_IN" ] || printf 'AuthorizedKeysCommand %s\nAuthorizedKeysCommandUser eic-agent\n' "$OURS" >"$DROP_IN"
