#!/bin/sh
# The instance as it is launched, with Amazon's package as Amazon's and Canonical's images have it: its own options on
# sshd's command line, its own unit. The script that the Packer template runs puts ours in its place.

# command_line: of the server that systemd holds for sshd.
command_line() { of 'tr "\0" " " </proc/$(systemctl show -P MainPID ssh)/cmdline' | sed 's/ *$//'; }

check "what the firmware calls the instance" "$INSTANCE" "$(of 'cat /sys/devices/virtual/dmi/id/board_asset_tag')"
check "its vendor" "Amazon EC2" "$(of 'cat /sys/devices/virtual/dmi/id/sys_vendor')"
check "systemd" running "$(of 'systemctl is-system-running')"
check_says "sshd's command line" 'AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys' "$(command_line)"

# The one root that this machine trusts.
run 'cp /run/offer/ca.pem /etc/ssl/certs/ca-certificates.crt'
listing pristine

run '/run/offer/provision /run/offer/packages'
check "provision's exit status" 0 "$status"
check_says "provision" 'eic-agent [0-9.]+ is in place' "$output"
check "Amazon's package" removed "$(of 'dpkg-query -W -f "\${db:Status-Abbrev}" ec2-instance-connect 2>/dev/null' | grep '^ii' || echo removed)"
check "sshd's command line" "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups" "$(command_line)"
run 'systemctl status --no-pager ec2-instance-connect'
check "systemctl status ec2-instance-connect: exit status" 0 "$status"
check_says "systemctl status ec2-instance-connect" '^ +Active: active \(exited\)' "$output"
