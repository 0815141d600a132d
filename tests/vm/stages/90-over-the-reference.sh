#!/bin/sh
# Over Amazon's package, as Ubuntu's images have it: its own sshd options, its own unit.

run 'dpkg -i /run/offer/ec2-instance-connect_*.deb'
check "dpkg -i, the reference: exit status" 0 "$status"
check_says "sshd's command line" 'AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys' \
    "$(of 'tr "\0" " " </proc/$(systemctl show -P MainPID ssh)/cmdline')"
run '/run/offer/provision /run/offer/packages'
check "provision's exit status" 0 "$status"
check "the reference" removed "$(in_guest 'dpkg-query -W -f "\${db:Status-Abbrev}" ec2-instance-connect' 2>/dev/null | grep '^ii' || echo removed)"
check "sshd's command line" "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups" \
    "$(of 'tr "\0" " " </proc/$(systemctl show -P MainPID ssh)/cmdline' | sed 's/ *$//')"
mark
push ec2-user pushed
check_login ec2-user pushed
check_audit ec2-user pushed "$CLIENT"
run 'systemctl status --no-pager ec2-instance-connect'
check_says "systemctl status ec2-instance-connect" '^ +Active: active \(exited\)' "$output"
check_doctor "in the place of the reference"
