#!/bin/sh
# One Debian release of the matrix, with its own sshd, ssh, systemd-journald and userdbctl, and the shipped package.
# Every script in releases/ is a row of the table. The scripts run in the order of their names, in one tree.

suite=${case#release/}
rows=$EIC_CASE_LOGS/rows-$suite
: "${CLIENTS:?}" "${EIC_CASE_LOGS:?}"

# --- the journal of the release ---------------------------------------------------------------------------------------

# start_journal: starts systemd-journald, which records the program and the unit of every line.
start_journal() {
    mkdir -p "$ROOT/sys/fs/cgroup" "$ROOT/run/systemd/journal"
    mount -t cgroup2 cgroup2 "$ROOT/sys/fs/cgroup"
    mkdir -p "$ROOT/sys/fs/cgroup/system.slice/ssh.service"
    echo 3d1219c7c4c5404aaa1f6d2a48adfda4 >"$ROOT/etc/machine-id"
    # journald only knows the program and the unit of a process that still exists. So on a busy machine, it must not wait
    # for a processor, if the machine lets root set this.
    ahead='chrt --fifo 1'
    # shellcheck disable=SC2086 # words on purpose
    in_root $ahead true 2>/dev/null || ahead=
    # shellcheck disable=SC2086 # words on purpose
    become $ahead /lib/systemd/systemd-journald </dev/null >"$MACHINE/journald.log" 2>&1 &
    await "systemd-journald listens ($(cat "$MACHINE/journald.log"))" [ -S "$ROOT/run/systemd/journal/dev-log" ]
    ln -s /run/systemd/journal/dev-log "$ROOT/dev/log"
}

# await WHAT COMMAND…: waits until the command succeeds. A busy machine may need minutes.
await() {
    what=$1
    shift
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -le 3000 ] || {
            failed "$what" "within minutes" "not yet"
            return 0
        }
        sleep 0.1
    done
}

# journal: prints every message that was sent so far. journald reads several sockets, so a line can be stored before an older
# one of another socket.
journal() { in_root journalctl --sync && in_root journalctl --quiet --no-pager --output=short; }

# logged PATTERN: checks whether a line in the journal matches.
logged() { journal | grep -qE -- "$1"; }

timeouts() { journal | grep -cE 'eic-agent.*(metadata-timeout|in time)' || :; }

why() { journal | tail -n 12 | sed 's/^/            /'; }

# --- sshd as a unit ---------------------------------------------------------------------------------------------------

# start_unit: starts sshd in the control group of ssh.service. Its log goes to the journal.
start_unit() {
    (
        echo 0 >"$ROOT/sys/fs/cgroup/system.slice/ssh.service/cgroup.procs"
        become /usr/sbin/sshd -D
    ) </dev/null >"$MACHINE/sshd.out" 2>&1 &
    sshd_pid=$!
    wait_for_sshd
}

restart_unit() {
    stop_sshd
    start_unit
}

# site TEXT: writes an administrator's drop-in that sorts before the agent's. Without TEXT, removes it.
site() {
    rm -f "$ROOT/etc/ssh/sshd_config.d/05-site.conf"
    [ -z "$1" ] || printf '%s\n' "$1" >"$ROOT/etc/ssh/sshd_config.d/05-site.conf"
    restart_unit
}

# settings TEXT: writes /etc/eic-agent.toml. Without TEXT, removes it.
settings() {
    rm -f "$ROOT/etc/eic-agent.toml"
    [ -z "$1" ] || printf '%s\n' "$1" >"$ROOT/etc/eic-agent.toml"
}

# remote USER KEY COMMAND [OPTION…]: prints the output of a remote command, or the error of ssh.
remote() {
    user=$1
    key=$2
    command=$3
    shift 3
    # shellcheck disable=SC2086 # options on purpose
    in_root timeout 200 ssh $ssh_options -i "/run/keys/$key" "$@" "$user@127.0.0.1" "$command" </dev/null 2>&1 || :
}

# --- the tests --------------------------------------------------------------------------------------------------------

# Since OpenSSH 9.8, sshd refuses an address for seconds after failed logins. The tests fail logins on purpose.
if in_root /usr/sbin/sshd -T 2>/dev/null | grep -qi '^persourcepenalties '; then
    echo 'PerSourcePenalties no' >"$ROOT/etc/ssh/sshd_config.d/90-matrix.conf"
fi
version=$(in_root ssh -V 2>&1 | sed 's/^OpenSSH_\([^ ,]*\).*/\1/')
printf 'OpenSSH\t%s\n' "$version" >"$rows"
note "$(in_root ssh -V 2>&1)"
note "$(in_root systemctl --version | head -n 1)"
start_journal
start_emulator
own_key ec2-user
keep etc/ssh before
effective ec2-user >"$MACHINE/effective"

for stage in "$here"/releases/*.sh; do
    title=$(sed -n '2s/^# //p' "$stage")
    printf '\n--- %s\n' "$title"
    failures_before=$failures
    cell=ok
    # shellcheck source=/dev/null
    . "$stage"
    [ "$failures" -eq "$failures_before" ] || cell=FAILED
    printf '%s\t%s\n' "$title" "$cell" >>"$rows"
done
