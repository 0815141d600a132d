#!/bin/sh
# The instance as it is launched, and the script that the Packer template runs on it.

check "what the firmware calls the instance" "$INSTANCE" "$(of 'cat /sys/devices/virtual/dmi/id/board_asset_tag')"
check "its vendor" "Amazon EC2" "$(of 'cat /sys/devices/virtual/dmi/id/sys_vendor')"
check "systemd" running "$(of 'systemctl is-system-running')"

# The one root that this machine trusts.
run 'cp /run/offer/ca.pem /etc/ssl/certs/ca-certificates.crt'
listing pristine

mark
run '/run/offer/provision /run/offer/packages'
check "provision's exit status" 0 "$status"
check_says "provision" 'eic-agent [0-9.]+ is in place' "$output"
check_says "systemd, of sshd" 'Reloaded ssh.service' "$(journal _PID=1)"
run 'systemctl status --no-pager ec2-instance-connect'
check "systemctl status ec2-instance-connect: exit status" 0 "$status"
check_says "systemctl status ec2-instance-connect" '^ +Active: active \(exited\)' "$output"
