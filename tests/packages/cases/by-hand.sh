#!/bin/sh
# The administrator configured sshd by hand before the installation. The package changes nothing, and removes nothing
# that it did not add.

printf 'AuthorizedKeysCommand %s\nAuthorizedKeysCommandUser eic-agent\n' "$OURS" >"$DROP_IN"
keep etc/ssh before
start_metadata
own_key ec2-user
run dpkg -i "$DEB"
check "dpkg's exit status" 0 "$status"
check_says "the installation" already "$output"
keep etc/ssh now
check_same "/etc/ssh after the installation" "$MACHINE/before" "$MACHINE/now"
start_sshd
push ec2-user pushed
check_login ec2-user pushed
stop_sshd
agent disable
check "disable's exit status" 0 "$status"
check_says disable 'still names this program' "$output"
keep etc/ssh now
check_same "/etc/ssh after disable" "$MACHINE/before" "$MACHINE/now"
run dpkg --purge eic-agent
check "dpkg's exit status" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh after the purge" "$MACHINE/before" "$MACHINE/now"
# sshd's command is now missing. Other logins must still work.
check_sshd_t
start_sshd
check_login ec2-user own
