#!/bin/sh
# The life of the package on Debian: installation with apt-get from the signed repository, logins, an upgrade during an
# open session, removal, and a purge that leaves nothing.

# whole_tree NAME: saves a listing of everything except what a purge may leave: the state of dpkg and apt, logs, and the
# account. The account stays because no other account may get its uid.
whole_tree() {
    listing "$ROOT" | grep -vE '[ /](var/lib/dpkg|var/lib/apt|var/cache|var/log|etc/ld\.so\.cache|etc/(passwd|shadow|group|gshadow)-?)([/ ]|$)' >"$MACHINE/$1"
}

start_metadata
own_key ec2-user
use_repository sound
whole_tree before
keep etc/ssh ssh-before

# --- installation ---

start_sshd
open_session ec2-user own
check_session "before the installation"
run apt-get install --yes eic-agent
check "apt-get's exit status" 0 "$status"
check "the version that is installed" "$VERSION" "$(version)"
check_sshd_t
check_pair ec2-user "$OURS as eic-agent"
check "the unit is enabled" enabled "$(in_root systemctl is-enabled eic-agent.service 2>&1)"
# systemd 252 forgets that ssh.service runs if another unit names its alias before the alias exists.
check "the names of sshd's units in eic-agent.service" "After=ssh.service ssh.socket, ReloadPropagatedFrom=ssh.service" \
    "$(grep -E '^(After|ReloadPropagatedFrom)=.*ssh' "$ROOT/usr/lib/systemd/system/eic-agent.service" | sed '$!s/$/,/' | tr '\n' ' ' | sed 's/ $//')"
check "its other name" eic-agent.service \
    "$(readlink "$ROOT/usr/lib/systemd/system/ec2-instance-connect.service")"
check "the target of the reference's entry point" /usr/bin/eic-agent \
    "$(in_root readlink -f /usr/share/ec2-instance-connect/eic_run_authorized_keys)"
check "the user" "/ /usr/sbin/nologin" "$(in_root getent passwd eic-agent | cut -d: -f6,7 | tr : ' ')"
check "mode and owner of the folder of the memory" "700 eic-agent:eic-agent" "$(in_root stat -c '%a %U:%G' /run/eic-agent)"
check_session "after the installation"

# No systemd runs here that could reload sshd. The installation prints the command for the administrator.
check_says "the installation" "kill -HUP $sshd_pid" "$output"
push ec2-user pushed
check_refused ec2-user pushed
kill -HUP "$sshd_pid"
wait_for_sshd
check_login ec2-user pushed
check_refused ec2-user other
check_login ec2-user own
check_session "after the reload"
agent status
check "status' exit status" 0 "$status"
check "mode and owner of what a run remembered" "600 eic-agent:eic-agent" "$(in_root stat -c '%a %U:%G' /run/eic-agent/evidence)"

# --- an upgrade during the open session ---

echo '# mine' >>"$ROOT/etc/eic-agent.toml"
touches >"$MACHINE/touched"
keep etc/ssh wired
use_repository sound-later
run apt-get upgrade --yes
check "apt-get's exit status" 0 "$status"
check "the version that is installed" "$LATER_VERSION" "$(version)"
keep etc/ssh now
check_same "/etc/ssh after the upgrade" "$MACHINE/wired" "$MACHINE/now"
touches >"$MACHINE/touched-now"
check_same "inodes and modification times in /etc/ssh" "$MACHINE/touched" "$MACHINE/touched-now"
check "messages of the upgrade about sshd" nothing "$(printf '%s\n' "$output" | grep -iE 'sshd|wired|AuthorizedKeys' | grep . || echo nothing)"
check "the settings keep the edit" "# mine" "$(tail -n 1 "$ROOT/etc/eic-agent.toml")"
check "the memory after the upgrade" kept "$([ -s "$ROOT/run/eic-agent/evidence" ] && echo kept)"
check_session "after the upgrade"
push ec2-user pushed
check_login ec2-user pushed
check "the original sshd process" running "$(kill -0 "$sshd_pid" && echo running)"

# --- removal and purge ---

run apt-get remove --yes eic-agent
check "apt-get's exit status" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh after the removal" "$MACHINE/ssh-before" "$MACHINE/now"
check_sshd_t
check "the settings stay until the purge" "# mine" "$(tail -n 1 "$ROOT/etc/eic-agent.toml")"
check "the folder of the memory after the removal" gone "$([ -e "$ROOT/run/eic-agent" ] || echo gone)"
check_session "after the removal"
# sshd still has the old settings, and its command is missing. The user's own key must still work.
check_login ec2-user own
kill -HUP "$sshd_pid"
wait_for_sshd
push ec2-user pushed
check_refused ec2-user pushed
check_login ec2-user own

run apt-get purge --yes eic-agent
check "apt-get's exit status" 0 "$status"
check_session "after the purge"
close_session
stop_sshd
keep etc/ssh now
check_same "/etc/ssh after the purge" "$MACHINE/ssh-before" "$MACHINE/now"
note "except the state of dpkg and apt, logs, and the account eic-agent, because no other account may get its uid:"
use_repository sound
whole_tree now
check_same "the whole tree after the purge" "$MACHINE/before" "$MACHINE/now"
check "the other accounts" "$(in_root getent passwd | cut -d: -f1 | grep -v '^eic-agent$' | sha256sum)" \
    "$(chroot "$STUFF/root" getent passwd | cut -d: -f1 | sha256sum)"

# --- a new installation, without systemd-tmpfiles ---

rm "$ROOT/usr/bin/systemd-tmpfiles"
run apt-get install --yes eic-agent
check "apt-get's exit status" 0 "$status"
check_pair ec2-user "$OURS as eic-agent"
check "mode and owner of the folder of the memory" "700 eic-agent:eic-agent" "$(in_root stat -c '%a %U:%G' /run/eic-agent)"
