#!/bin/sh
# The scripts of the .rpm, run by rpm without dnf, with the sshd_config of Amazon Linux 2.

start_rpm
shape amazon-linux-2
lay
keep etc/ssh before

in_rpm -i "$RPM"
check "rpm -i's exit status" 0 "$status"
check "our lines are in" block "$(where)"
check_pair ec2-user "$OURS as eic-agent"
check "the unit" enabled "$(in_root systemctl is-enabled eic-agent.service 2>&1)"
check "the mark that %posttrans removes" none "$([ -e "$ROOT/var/lib/eic-agent/wire-sshd" ] || echo none)"

keep etc/ssh wired
touches >"$MACHINE/touched"
in_rpm -U "$LATER_RPM"
check "rpm -U's exit status" 0 "$status"
check "the version that is installed" "$LATER_VERSION" "$(rpm_version)"
touches >"$MACHINE/touched-now"
check_same "inodes and modification times in /etc/ssh" "$MACHINE/touched" "$MACHINE/touched-now"
check "the unit" enabled "$(in_root systemctl is-enabled eic-agent.service 2>&1)"

# The administrator disabled the agent. An upgrade must not enable it.
agent disable
in_rpm -U --oldpackage "$RPM"
check "rpm -U --oldpackage's exit status" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh, disabled, after a change of versions" "$MACHINE/before" "$MACHINE/now"
check "the unit" disabled "$(in_root systemctl is-enabled eic-agent.service 2>&1)"
in_rpm -U --replacepkgs "$RPM"
check "rpm -U --replacepkgs' exit status" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh, disabled, after the same version again" "$MACHINE/before" "$MACHINE/now"

agent enable
in_rpm -e eic-agent
check "rpm -e's exit status" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh after the removal" "$MACHINE/before" "$MACHINE/now"
check "the unit's links" none "$(find "$ROOT/etc/systemd" -name '*eic-agent*' | grep . || echo none)"

# If the agent cannot be enabled, the installation succeeds and prints the command to run.
printf 'AuthorizedKeysCommand /usr/bin/foreign %%u\nAuthorizedKeysCommandUser nobody\n' >"$CONFIG"
in_rpm -i "$RPM"
check "rpm -i's exit status, with another command" 0 "$status"
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

# An image build without systemd: useradd makes the user.
mkdir -p "$ROOT/etc/ssh/sshd_config.d"
lay
rm "$ROOT/usr/bin/systemctl" "$ROOT/usr/bin/systemd-sysusers" "$ROOT/usr/bin/systemd-tmpfiles"
in_root userdel eic-agent
in_rpm -i "$RPM"
check "rpm -i's exit status, without systemd" 0 "$status"
check "the user" "/ /sbin/nologin" "$(in_root getent passwd eic-agent | cut -d: -f6,7 | sed 's,/usr/sbin,/sbin,' | tr : ' ')"
check "mode and owner of the folder of the memory" "700 eic-agent:eic-agent" "$(in_root stat -c '%a %U:%G' /run/eic-agent)"
check_pair ec2-user "$OURS as eic-agent"
in_rpm -e eic-agent
check "rpm -e's exit status, without systemd" 0 "$status"
check "the folder of the memory" gone "$([ -e "$ROOT/run/eic-agent" ] || echo gone)"
keep etc/ssh now
check_same "/etc/ssh after the removal" "$MACHINE/before" "$MACHINE/now"
