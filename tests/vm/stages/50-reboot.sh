#!/bin/sh
# The instance reboots with ssh.socket enabled. Then ssh.service is enabled again.

boot=$(of 'cat /proc/sys/kernel/random/boot_id')
before=$(boots)
run 'systemctl reboot'
# The reboot does not close the control connection.
restarts() { [ "$(grep -c 'reboot: Restarting system' "$LOGS/serial.log")" -ge "$before" ]; }
await 600 "the instance goes down" restarts
disconnect
await_boot $((before + 1))
check "another boot" yes "$([ "$boot" != "$(of 'cat /proc/sys/kernel/random/boot_id')" ] && echo yes)"
check "systemd" running "$(of 'systemctl is-system-running')"
check "the unit" "active" "$(of 'systemctl is-active ec2-instance-connect')"

mark
push ec2-user pushed
check_login ec2-user pushed
check_audit ec2-user pushed "$CLIENT"

# The unit must not delay a boot: no unit that a login needs may be ordered after it.
run 'systemd-analyze time'
note "$(printf '%s\n' "$output" | head -n 1)"
# unit_at UNIT WHEN: prints seconds after the kernel's start.
unit_at() { of "systemctl show -P $2TimestampMonotonic $1" | awk '{ printf "%.1f s", $1 / 1000000 }'; }
note "systemd listens after $(unit_at ssh.socket ActiveEnter); eic-agent.service ran from $(unit_at eic-agent.service InactiveExit) to $(unit_at eic-agent.service ActiveEnter)"
run 'systemctl list-dependencies --no-pager --after --plain --all ssh.service ssh.socket network-online.target multi-user.target'
check "sshd, the network or multi-user.target are ordered after eic-agent.service" no "$(printf '%s\n' "$output" | grep -E 'eic-agent|ec2-instance-connect' || echo no)"

run 'systemctl stop ssh.socket ssh.service && systemctl --no-reload disable ssh.socket && systemctl --no-reload enable ssh.service && systemctl start ssh.service'
check "systemctl's exit status" 0 "$status"
push ec2-user pushed
check_login ec2-user pushed
run 'eic-agent status'
check "eic-agent status, as a service again: exit status" 0 "$status"
