#!/bin/sh
# `status` in each state, as text and as JSON, and the unit, without a running systemd.

# says WHAT EXIT-STATUS PATTERN: checks both forms.
says() {
    agent status
    check "status' exit status, $1" "$2" "$status"
    check_says "status, $1" "$3" "$output"
    agent status --json
    check "status --json's exit status, $1" "$2" "$status"
    in_use=$(printf '%s' "$output" | perl -MJSON::PP -0777 -ne 'my $all = decode_json($_); print $all->{in_use} ? "true" : "false"' 2>&1)
    if [ "$2" -eq 0 ]; then expected=true; else expected=false; fi
    check "in_use of status --json, $1" $expected "$in_use"
}

start_metadata
run dpkg -i "$DEB"
says "wired" 0 '/usr/bin/eic-agent authorized-keys'
agent disable
says "not wired" 1 'eic-agent enable'
check "the unit" disabled "$(in_root systemctl is-enabled eic-agent.service 2>&1)"

printf 'AuthorizedKeysCommand /usr/bin/foreign\nAuthorizedKeysCommandUser nobody\n' >>"$CONFIG"
says "with another command" 1 'enable --chain'
printf 'PasswordAuthentication no\n' >"$CONFIG"
agent enable
says "wired by a block" 0 'sshd_config:'
check "the unit" enabled "$(in_root systemctl is-enabled eic-agent.service 2>&1)"
chmod 600 "$CONFIG"
echo 'Garbage' >>"$CONFIG"
says "with an sshd_config that does not parse" 1 Garbage
sed -i '$d' "$CONFIG"

# The settings of the running server count, not those after its next start.
start_sshd -o 'AuthorizedKeysCommand /usr/bin/foreign %u' -o 'AuthorizedKeysCommandUser nobody'
says "while sshd runs with another command" 1 "from sshd's command line"
stop_sshd
start_sshd
says "while sshd runs" 0 'yes'
stop_sshd

# Unreachable metadata is only a warning.
ip address del 169.254.169.254/32 dev lo
says "without metadata" 0 'metadata'
ip address add 169.254.169.254/32 dev lo

# Outside EC2, the unit is skipped.
run /usr/bin/eic-agent status --is-ec2
check "status --is-ec2's exit status on EC2" 0 "$status"
rm "$ROOT/sys/devices/virtual/dmi/id/board_asset_tag"
run /usr/bin/eic-agent status --is-ec2
check "status --is-ec2's exit status elsewhere" 1 "$status"
check "the unit's condition" "/usr/bin/eic-agent status --is-ec2" \
    "$(sed -n 's/^ExecCondition=//p' "$ROOT/usr/lib/systemd/system/eic-agent.service")"
# man-db, which --man needs, is not installed.
run systemd-analyze verify --man=no /usr/lib/systemd/system/eic-agent.service
check "systemd-analyze verify's exit status" 0 "$status"
