#!/bin/sh
# The .rpm's scripts one by one, through rpm itself, without dnf: over Amazon Linux 2's sshd_config.

start_rpm
shape amazon-linux-2
lay
keep etc/ssh before

in_rpm -i "$RPM"
check "rpm -i's exit status" 0 "$status"
check "our lines are in" block "$(where)"
check_pair ec2-user "$OURS as eic-agent"
check "the unit" enabled "$(in_root systemctl is-enabled eic-agent.service 2>&1)"
check "the mark that %posttrans takes away" none "$([ -e "$ROOT/var/lib/eic-agent/wire-sshd" ] || echo none)"

keep etc/ssh wired
touches >"$MACHINE/touched"
in_rpm -U "$LATER_RPM"
check "rpm -U's exit status" 0 "$status"
check "the version that is installed" "$LATER_VERSION" "$(rpm_version)"
touches >"$MACHINE/touched-now"
check_same "when each file of /etc/ssh was written" "$MACHINE/touched" "$MACHINE/touched-now"
check "the unit" enabled "$(in_root systemctl is-enabled eic-agent.service 2>&1)"

# Unwired by the administrator: an upgrade does not wire it again.
agent disable
in_rpm -U --oldpackage "$RPM"
check "rpm -U --oldpackage's exit status" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh, unwired, after a change of versions" "$MACHINE/before" "$MACHINE/now"
check "the unit" disabled "$(in_root systemctl is-enabled eic-agent.service 2>&1)"
in_rpm -U --replacepkgs "$RPM"
check "rpm -U --replacepkgs' exit status" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh, unwired, after the same version again" "$MACHINE/before" "$MACHINE/now"

agent enable
in_rpm -e eic-agent
check "rpm -e's exit status" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh after the removal" "$MACHINE/before" "$MACHINE/now"
check "the unit's links" none "$(find "$ROOT/etc/systemd" -name '*eic-agent*' | grep . || echo none)"

# What cannot be wired installs all the same, and says what to run.
printf 'AuthorizedKeysCommand /usr/bin/foreign %%u\nAuthorizedKeysCommandUser nobody\n' >"$CONFIG"
in_rpm -i "$RPM"
check "rpm -i's exit status, beside another command" 0 "$status"
check_says "rpm -i" 'eic-agent enable --chain' "$output"
check_pair ec2-user '/usr/bin/foreign %u as nobody'
in_rpm -e eic-agent
check "rpm -e's exit status" 0 "$status"
echo Garbage >"$CONFIG"
in_rpm -i "$RPM"
check "rpm -i's exit status, with an sshd_config that does not parse" 0 "$status"
check_says "rpm -i" 'Garbage' "$output"
in_rpm -e eic-agent
check "rpm -e's exit status" 0 "$status"
check "sshd_config" Garbage "$(cat "$CONFIG")"

# As an image is built where there is no systemd: useradd makes the user.
mkdir -p "$ROOT/etc/ssh/sshd_config.d"
lay
rm "$ROOT/usr/bin/systemctl" "$ROOT/usr/bin/systemd-sysusers"
in_root userdel eic-agent
in_rpm -i "$RPM"
check "rpm -i's exit status, without systemd" 0 "$status"
check "the user" "/ /sbin/nologin" "$(in_root getent passwd eic-agent | cut -d: -f6,7 | sed 's,/usr/sbin,/sbin,' | tr : ' ')"
check_pair ec2-user "$OURS as eic-agent"
in_rpm -e eic-agent
check "rpm -e's exit status, without systemd" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh after the removal" "$MACHINE/before" "$MACHINE/now"
