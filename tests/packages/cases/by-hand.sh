#!/bin/sh
# Wired by hand, as from source, before the package came: the package changes nothing and takes nothing out that it
# did not put in.

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
# sshd asks a program that is gone: other logins go on.
check_sshd_t
start_sshd
check_login ec2-user own
