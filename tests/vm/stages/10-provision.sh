#!/bin/sh
# At launch, the instance has Amazon's package, as Amazon's and Canonical's images do: its options are on sshd's command
# line, and its unit is enabled. The script of the Packer template replaces it with eic-agent.

# command_line: prints the command line of the main process of ssh.service.
command_line() { of 'tr "\0" " " </proc/$(systemctl show -P MainPID ssh)/cmdline' | sed 's/ *$//'; }

check "the instance ID in the firmware" "$INSTANCE" "$(of 'cat /sys/devices/virtual/dmi/id/board_asset_tag')"
check "the vendor in the firmware" "Amazon EC2" "$(of 'cat /sys/devices/virtual/dmi/id/sys_vendor')"
check "systemd" running "$(of 'systemctl is-system-running')"
check_says "sshd's command line" 'AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys' "$(command_line)"

# The machine trusts only this root.
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
