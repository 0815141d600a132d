#!/bin/sh
# The agent reloads sshd if it runs as a unit, or restarts it if a socket unit holds its port. An upgrade does
# neither. No systemd runs here: a fake systemctl records its arguments, and sends the signal that the unit's reload
# would send.

cat >"$ROOT/usr/bin/systemctl" <<'END'
#!/bin/sh
echo "$*" >>/run/calls
case $* in
*is-active*ssh.service) [ -e /run/ssh-is-active ] || exit 3 ;;
*is-active*ssh.socket) [ -e /run/socket-is-active ] || exit 3 ;;
*is-active*) exit 4 ;;
"show --property MainPID ssh.service")
    if [ -e /run/ssh-is-active ]; then echo "MainPID=$(cat /run/sshd.pid)"; else echo MainPID=0; fi
    ;;
"show --property MainPID"*) echo MainPID=0 ;;
"reload ssh.service")
    [ ! -e /run/reload-fails ] || { echo "Job for ssh.service failed." >&2; exit 1; }
    kill -HUP "$(cat /run/sshd.pid)"
    ;;
"restart ssh.service") kill -HUP "$(cat /run/sshd.pid)" ;;
esac
END
mkdir -p "$ROOT/run/systemd/system"

# calls PATTERN: prints the matching calls of the last command on one line, without calls that only query a state.
calls() {
    grep -vE '^(show|is-active) ' "$ROOT/run/calls" | grep -E "$1" | tr '\n' ',' | sed 's/,$//' | grep . || echo none
}

# step COMMAND…
step() {
    : >"$ROOT/run/calls"
    run "$@"
}

# check_calls WHAT EXPECTED
check_calls() { check "systemctl's calls for sshd by $1" "$2" "$(calls '(^| )sshd?\.(service|socket)')"; }

start_metadata
own_key ec2-user
keep etc/ssh before

# --- sshd runs as a unit ---

start_sshd
touch "$ROOT/run/ssh-is-active"
open_session ec2-user own
step dpkg -i "$DEB"
check "dpkg's exit status" 0 "$status"
check_calls "the installation" "reload ssh.service"
check_says "the installation" 'reloaded ssh.service' "$output"
wait_for_sshd
push ec2-user pushed
check_login ec2-user pushed
check_session "after the installation"
check "our own unit" "enable eic-agent.service,restart eic-agent.service" \
    "$(calls 'eic-agent\.service' | sed 's/ --[a-z-]*//g')"

step dpkg -i "$LATER_DEB"
check "dpkg's exit status" 0 "$status"
check_calls "the upgrade" none
check_session "after the upgrade"

step /usr/bin/eic-agent disable
check "disable's exit status" 0 "$status"
check_calls "disable" "reload ssh.service"
wait_for_sshd
push ec2-user pushed
check_refused ec2-user pushed

# --- systemd holds the port: Debian 12's sshd would lose it on a reload (tests/vm tests the real one) ---

touch "$ROOT/run/socket-is-active"
step /usr/bin/eic-agent enable
check "enable's exit status" 0 "$status"
check_calls "enable, with a socket" "restart ssh.service"
check_says "enable, with a socket" 'restarted ssh.service, for ssh.socket' "$output"
wait_for_sshd
step /usr/bin/eic-agent disable
check "disable's exit status" 0 "$status"
check_calls "disable, with a socket" "restart ssh.service"
wait_for_sshd
rm "$ROOT/run/socket-is-active"

# --- a failed reload: the agent restores everything ---

touch "$ROOT/run/reload-fails"
step /usr/bin/eic-agent enable
check "enable's exit status, when the reload fails" 1 "$status"
check_says "enable" 'Job for ssh.service failed' "$output"
keep etc/ssh now
check_same "/etc/ssh after it" "$MACHINE/before" "$MACHINE/now"
rm "$ROOT/run/reload-fails"
step /usr/bin/eic-agent enable
check "enable's exit status" 0 "$status"
wait_for_sshd
step dpkg --purge eic-agent
check "dpkg's exit status" 0 "$status"
check_calls "the removal" "reload ssh.service"
wait_for_sshd
check_session "after the removal"
close_session
stop_sshd

# --- sshd does not run, or not as a unit: the agent does not start it ---

rm "$ROOT/run/ssh-is-active"
step dpkg -i "$DEB"
check "dpkg's exit status" 0 "$status"
check_calls "the installation, without a running sshd" none
check "running servers" "" "$(listeners)"
step dpkg --purge eic-agent
check_calls "the removal, without a running sshd" none
keep etc/ssh now
check_same "/etc/ssh after it" "$MACHINE/before" "$MACHINE/now"
