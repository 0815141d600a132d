#!/bin/sh
# `dpkg -i` wires a fresh install

run dpkg -i "$DEB"
check "dpkg's exit status" 0 "$status"
check "our drop-in" yes "$([ -e "$DROP_IN" ] && echo yes)"
check_sshd_t
check_pair ec2-user "$OURS as eic-agent"
effective ec2-user >"$MACHINE/effective-now"
check_same "everything else that sshd does" "$MACHINE/effective" "$MACHINE/effective-now"
# A release on which the installation does not wire sshd fails here. What follows tests the rest on it all the same.
[ -e "$DROP_IN" ] || printf 'AuthorizedKeysCommand %s\nAuthorizedKeysCommandUser eic-agent\n' "$OURS" >"$DROP_IN"
