#!/bin/sh
# Over Amazon's package on Amazon Linux 2. An upgrade does not replace it, an installation conflicts with it, and `dnf
# swap` replaces it. rpm runs our %post, its %preun, its %postun and our %posttrans, in this order.

start_metadata
own_key ec2-user
start_rpm
shape amazon-linux-2

dnf_from sound install ec2-instance-connect-1.1
check "dnf's exit status, the reference" 0 "$status"
check "the reference's override" there "$([ -e "$ROOT/lib/systemd/system/sshd.service.d/ec2-instance-connect.conf" ] && echo there)"
lay
keep etc/ssh before

for command in upgrade "install ec2-instance-connect"; do
    # shellcheck disable=SC2086 # words on purpose
    dnf_from sound $command
    check "packages after dnf $command" "ec2-instance-connect" "$(rpm --root "$ROOT" -qa --qf '%{NAME}\n' | grep -E 'eic|ec2')"
done
dnf_from sound install eic-agent
check "dnf install's exit status, with the reference installed" 1 "$status"
check_says "dnf install, with the reference installed" 'conflict' "$output"
check "packages" "ec2-instance-connect" "$(rpm --root "$ROOT" -qa --qf '%{NAME}\n' | grep -E 'eic|ec2')"
keep etc/ssh now
check_same "/etc/ssh so far" "$MACHINE/before" "$MACHINE/now"

start_sshd
open_session ec2-user own
dnf_from sound swap ec2-instance-connect eic-agent
check "dnf swap's exit status" 0 "$status"
check "packages" "eic-agent" "$(rpm --root "$ROOT" -qa --qf '%{NAME}\n' | grep -E 'eic|ec2')"
check "the order of the scripts" "reference preun 0, reference postun 0, wrote /etc/ssh/sshd_config" \
    "$(printf '%s\n' "$output" | grep -oE 'reference [a-z]+ [0-9]|wrote [^ ]+' | uniq | sed '$!s/$/,/' | tr '\n' ' ' | sed 's/ $//')"
check "our lines are in" block "$(where)"
check_sshd_t
check_pair ec2-user "$OURS as eic-agent"
check "the reference's override" gone "$([ -e "$ROOT/lib/systemd/system/sshd.service.d/ec2-instance-connect.conf" ] || echo gone)"
check "the reference's user" gone "$(in_root getent passwd ec2-instance-connect || echo gone)"
check "its entry points" "eic_curl_authorized_keys -> /usr/bin/eic-agent, eic_run_authorized_keys -> /usr/bin/eic-agent" \
    "$(cd "$ROOT/opt/aws/bin" && find . -mindepth 1 -printf '%P -> %l\n' | sort | sed '$!s/$/,/' | tr '\n' ' ' | sed 's/ $//')"
check "the unit's other name" eic-agent.service "$(readlink "$ROOT/usr/lib/systemd/system/ec2-instance-connect.service")"
check_session "after the swap"
kill -HUP "$sshd_pid"
wait_for_sshd
push ec2-user pushed
check_login ec2-user pushed
check_refused ec2-user other
check_session "after the reload"
close_session

# The way back.
dnf_from sound swap eic-agent ec2-instance-connect-1.1
check "dnf swap's exit status, back" 0 "$status"
check "packages" "ec2-instance-connect" "$(rpm --root "$ROOT" -qa --qf '%{NAME}\n' | grep -E 'eic|ec2')"
keep etc/ssh now
check_same "/etc/ssh after the way back" "$MACHINE/before" "$MACHINE/now"
check "the entry point is the reference's" "the reference, eic_run_authorized_keys" "$(in_root sh /opt/aws/bin/eic_run_authorized_keys 2>&1)"
