#!/bin/sh
# Installation over Amazon's package on Debian and Ubuntu. sshd runs with the ExecStart override of that package.
# apt-get replaces it with eic-agent, and the next start of sshd uses eic-agent. The running server is not restarted,
# and a message tells the administrator to do it.

start_metadata
own_key ec2-user
keep etc/ssh before
run dpkg -i "$REFERENCE_DEB"
check "dpkg's exit status, the reference" 0 "$status"
override=$ROOT/lib/systemd/system/ssh.service.d/ec2-instance-connect.conf
check "the reference's override" there "$([ -e "$override" ] && echo there)"
use_repository sound

# Start sshd as the overridden unit does.
start_sshd -o "AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys %u %f" \
    -o "AuthorizedKeysCommandUser ec2-instance-connect"
running=$sshd_pid
open_session ec2-user own
check_session "before"

run apt-get install --yes eic-agent
check "apt-get's exit status" 0 "$status"
check_says "the installation" 'REMOVED' "$output"
check "ec2-instance-connect" removed "$(in_root dpkg -l ec2-instance-connect 2>/dev/null | grep '^ii' || echo removed)"
check "the reference's override" gone "$([ -e "$override" ] || echo gone)"
check "the rest of its folder" "$(printf 'eic_curl_authorized_keys -> ../../bin/eic-agent\neic_run_authorized_keys -> ../../bin/eic-agent')" \
    "$(cd "$ROOT/usr/share/ec2-instance-connect" && find . -mindepth 1 -printf '%P -> %l\n' | sort)"
check "the unit's other name" "eic-agent.service" "$(readlink "$ROOT/usr/lib/systemd/system/ec2-instance-connect.service")"
check "the unit's mask after its removal" none "$(readlink "$ROOT/etc/systemd/system/ec2-instance-connect.service" || echo none)"
check_sshd_t
check_pair ec2-user "$OURS as eic-agent"
check_session "after the installation"
check "the original sshd process" "$running" "$(listeners)"
check_says "the installation, about the running server" 'was started with.*restart' "$output"
agent status
check "status' exit status, while the old server runs" 1 "$status"
check_says "status" 'restart' "$output"

# The running server keeps its options. The user's own key works; pushed keys work after the restart.
check_login ec2-user own
stop_sshd
check_session "when the old server is gone"
start_sshd
push ec2-user pushed
check_login ec2-user pushed
check_refused ec2-user other
check_session "with the new server"
close_session
agent status
check "status' exit status, after the restart" 0 "$status"

# A configuration with the reference's entry point still works, and is not changed.
stop_sshd
start_sshd -o "AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys %u %f" -o "AuthorizedKeysCommandUser eic-agent"
push ec2-user pushed
check_login ec2-user pushed
stop_sshd

# The way back: the installation of Amazon's package removes eic-agent.
run apt-get install --yes "$REFERENCE_DEB"
check "apt-get's exit status, back to the reference" 0 "$status"
check "the installed version of eic-agent" "" "$(version)"
keep etc/ssh now
check_same "/etc/ssh, back with the reference" "$MACHINE/before" "$MACHINE/now"
check "the reference's override" there "$([ -e "$override" ] && echo there)"
check "the reference's entry point" "the reference, eic_run_authorized_keys" \
    "$(in_root /usr/share/ec2-instance-connect/eic_run_authorized_keys 2>&1)"
check "the unit's file is the reference's" "Description=EC2 Instance Connect Host Key Harvesting (look-alike)" \
    "$(grep ^Description= "$ROOT/lib/systemd/system/ec2-instance-connect.service")"
run apt-get install --yes eic-agent
check "apt-get's exit status, over the reference again" 0 "$status"
check_pair ec2-user "$OURS as eic-agent"
check "the unit's other name" "eic-agent.service" "$(readlink "$ROOT/usr/lib/systemd/system/ec2-instance-connect.service")"

run apt-get purge --yes eic-agent ec2-instance-connect
check "apt-get's exit status" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh after the purge" "$MACHINE/before" "$MACHINE/now"
check "files left by both packages" "" "$(cd "$ROOT" && find . -xdev \( -iname '*ec2-instance-connect*' -o -iname '*eic[-_]*' \) ! -path './var/lib/apt/*' ! -path './var/log/*' ! -path './var/cache/*' ! -path './etc/apt/*' ! -path './usr/share/keyrings/*' | sort)"
