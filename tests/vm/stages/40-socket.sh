#!/bin/sh
# systemd listens, and starts sshd at the first connection (`Accept=no`). This is Ubuntu's default since 22.10, and an
# option of Debian.

run 'systemctl stop ssh.service && systemctl --no-reload disable ssh.service && systemctl --no-reload enable ssh.socket && systemctl start ssh.socket'
check "systemctl's exit status" 0 "$status"
check "ssh.service and ssh.socket" "inactive active" "$(of 'systemctl is-active ssh.service ssh.socket | paste -sd " "')"
mark
push ec2-user pushed
check_login ec2-user pushed
check_audit ec2-user pushed "$CLIENT"
check_refused ec2-user other
run 'systemctl restart eic-agent.service'
check "the unit, with a socket: exit status" 0 "$status"
