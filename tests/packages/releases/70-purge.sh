#!/bin/sh
# `dpkg --purge`: `/etc/ssh` byte for byte

run dpkg --purge eic-agent
check "dpkg's exit status" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh after the purge" "$MACHINE/before" "$MACHINE/now"
check_sshd_t
restart_unit
push ec2-user pushed
check_refused ec2-user pushed
check_login ec2-user own
