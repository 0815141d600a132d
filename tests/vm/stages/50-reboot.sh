#!/bin/sh
# The instance is restarted, with a socket that waits for connections; then it gets its service back.

boot=$(of 'cat /proc/sys/kernel/random/boot_id')
run 'systemctl reboot'
still_there() { ssh -F /dev/null -S "$MACHINE/control" -O check "root@$ADDRESS" 2>/dev/null; }
gone() { ! still_there; }
await 60 "the instance goes down" gone
await_boot
check "another boot" yes "$([ "$boot" != "$(of 'cat /proc/sys/kernel/random/boot_id')" ] && echo yes)"
check "systemd" running "$(of 'systemctl is-system-running')"
check "the unit" "active" "$(of 'systemctl is-active ec2-instance-connect')"

mark
push ec2-user pushed
check_login ec2-user pushed
check_audit ec2-user pushed "$CLIENT"

# What the unit costs at a launch: nothing that a login waits for is behind it.
run 'systemd-analyze time; systemd-analyze blame --no-pager | grep -E "eic-agent|ssh|networkd"'
run 'systemd-analyze critical-chain --no-pager ssh.socket'
check "our unit, in what sshd waits for" none "$(printf '%s\n' "$output" | grep eic-agent || echo none)"
run 'systemctl list-dependencies --no-pager --after --plain --all ssh.service ssh.socket network-online.target'
check "our unit, in what sshd and the network are ordered after" none "$(printf '%s\n' "$output" | grep -E 'eic-agent|ec2-instance-connect' || echo none)"

run 'systemctl disable --now ssh.socket && systemctl enable --now ssh.service'
check "systemctl's exit status" 0 "$status"
push ec2-user pushed
check_login ec2-user pushed
check_doctor "as a service again"
