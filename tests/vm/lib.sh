#!/bin/sh
# Functions for the stages. A stage runs outside the instance, in the namespaces of qemu and the emulator. It executes
# commands inside the instance with `run`.

: "${IMAGE:?is set by run}" "${STATE:?}" "${MACHINE:?}" "${ADDRESS:?}" "${CLIENT:?}" "${ENDPOINT:?}" "${INSTANCE:?}" "${CLIENTS:?}" \
    "${LOGS:?}"

# shellcheck source=../checks.sh
. "$here/../checks.sh"

clean_up() { :; }

# await SECONDS WHAT COMMAND…: waits until the command succeeds, at most SECONDS.
await() {
    seconds=$1
    what=$2
    shift 2
    deadline=$(($(date +%s) + seconds))
    until "$@"; do
        [ "$(date +%s)" -lt $deadline ] || {
            echo "vm-test: $what: not within $seconds s" >&2
            return 1
        }
        sleep 0.1
    done
}

# --- commands inside the instance, with the control key ------------------------------------------------------------

# Use the cheapest key exchange. The emulated machine needs seconds for others.
ssh_options="-F /dev/null -o KexAlgorithms=curve25519-sha256 -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR
    -o BatchMode=yes -o IdentitiesOnly=yes -o ConnectTimeout=100"

# All commands use one permanent connection, so changes to sshd do not affect them.
connect() {
    # shellcheck disable=SC2086 # options on purpose
    timeout 200 ssh $ssh_options -M -S "$MACHINE/control" -f -N -i "$IMAGE/control" "root@$ADDRESS" </dev/null >/dev/null 2>&1
}

# disconnect: closes the connection. A machine that shuts down does not close it.
disconnect() { ssh -F /dev/null -S "$MACHINE/control" -O exit "root@$ADDRESS" 2>/dev/null || :; }

# in_guest COMMAND: runs a line in the instance's shell, as root.
in_guest() {
    # shellcheck disable=SC2086 # options on purpose
    timeout 600 ssh $ssh_options -S "$MACHINE/control" "root@$ADDRESS" "$1"
}

# boots: counts the finished boots on the console. The network cannot show this, because qemu accepts connections while
# the machine is down and delivers them after the boot.
boots() { grep -c 'Reached target.*multi-user.target' "$LOGS/serial.log" || :; }

booted() { [ "$(boots)" -ge "$1" ]; }

# await_boot NUMBER: waits until the machine has booted that often.
await_boot() {
    await 1200 "the instance boots" booted "$1"
    await 300 "root of the instance logs in" connect
    in_guest 'systemctl is-system-running --wait; mkdir -p /run/offer; tar -xf /dev/nvme1n1 -C /run/offer' >/dev/null </dev/null
}

# run COMMAND: runs a command in the instance, as root. Sets $status and $output, and prints both.
run() {
    shown "in the instance: $1" in_guest "$1"
}

# outside COMMAND…: like `run`, but outside the instance.
outside() { shown "$*" "$@"; }

# shown WORDS COMMAND…
shown() {
    words=$1
    shift
    status=0
    began=$(date +%s)
    output=$("$@" 2>&1 </dev/null) || status=$?
    printf '  $ %s    [%d, %d s]\n' "$words" $status $(($(date +%s) - began))
    [ -z "$output" ] || printf '%s\n' "$output" | sed 's/^/  | /'
}

# of COMMAND: prints the output of a command in the instance.
of() { in_guest "$1" </dev/null; }

# check_line WHAT PATTERN TEXT: like check_says, but the pattern must match a whole line. Prints the first match.
check_line() {
    if line=$(printf '%s\n' "$3" | grep -xE -m 1 -- "$2"); then ok "$1: $line"; else failed "$1" "a line /$2/" "$3"; fi
}

# --- the journal ---------------------------------------------------------------------------------------------------

# mark: sets the position in the journal at which `journal` begins.
mark() { cursor=$(of 'journalctl -q -n 0 --show-cursor' | sed -n 's/^-- cursor: //p'); }

# journal: prints all messages since the mark. It does not filter by program, because journalctl then omits the first
# message after a cursor of another program.
journal() { of "journalctl --sync; journalctl -q --no-pager -o short --after-cursor='$cursor'"; }

# of_program NAME: filters a journal for the messages of one program.
of_program() { sed -nE "s/^[^ ]+ +[0-9]+ [0-9:]+ [^ ]+ $1\[[0-9]+\]: //p"; }

# audit: prints the agent's messages since the mark.
audit() { journal | of_program eic-agent; }

# --- pushing, and logging in ---------------------------------------------------------------------------------------

# push USER KEY
push() { send_ssh_public_key "$1" "$STATE/$2.pub"; }

# aws_push USER KEY: pushes a key with the AWS CLI.
aws_push() { aws_send_ssh_public_key "$1" "$STATE/$2.pub"; }

# ssh_as USER KEY COMMAND
ssh_as() {
    # shellcheck disable=SC2086 # options on purpose
    exec ssh $ssh_options -i "$STATE/$2" "$1@$ADDRESS" "$3"
}


# try_login USER KEY: prints the user who logged in, or the error of ssh.
try_login() {
    # shellcheck disable=SC2086 # options on purpose
    timeout 300 ssh $ssh_options -i "$STATE/$2" "$1@$ADDRESS" 'echo "logged in as $(id -un)"' </dev/null 2>&1 || :
}

# timeouts: counts the agent's messages about timeouts in this boot.
timeouts() { of 'journalctl --sync; journalctl -q -b -t eic-agent -g "metadata-timeout: |in time" -o cat | wc -l'; }

# check_login USER KEY: checks a login. The shipped settings limit metadata to five seconds, and files to one second.
# On a busy machine that may be too short. The function repeats a login that failed because of a timeout.
check_login() {
    tries=0
    over=0
    came=$(try_login "$1" "$2")
    while [ "$came" != "logged in as $1" ] && [ $tries -lt 5 ] && [ "$(timeouts)" -gt "$over" ]; do
        tries=$((tries + 1))
        over=$(timeouts)
        came=$(try_login "$1" "$2")
    done
    check "ssh $1@…, key $2" "logged in as $1" "$came"
}

# check_refused USER KEY
check_refused() {
    # shellcheck disable=SC2086 # options on purpose
    came=$(timeout 300 ssh $ssh_options -i "$STATE/$2" "$1@$ADDRESS" true </dev/null 2>&1) || :
    # sshd prints its other authentication methods in parentheses.
    check "ssh $1@…, key $2" "$1@$ADDRESS: Permission denied" "$(printf '%s\n' "$came" | sed 's/ (.*//')"
}

# check_verdict USER KEY: like check_refused, for a refusal that the audit then explains. It marks the position in the
# journal first, and repeats a login in which a time limit of the agent was over.
check_verdict() {
    tries=0
    over=$(timeouts)
    mark
    check_refused "$1" "$2"
    while [ $tries -lt 5 ] && [ "$(timeouts)" -gt "$over" ]; do
        tries=$((tries + 1))
        over=$(timeouts)
        mark
        check_refused "$1" "$2"
    done
}

# check_doctor WHEN: checks that doctor reports no failure and no warning.
check_doctor() {
    run 'eic-agent doctor --no-color'
    check "eic-agent doctor, $1: exit status" 0 "$status"
    check "doctor's failures and warnings, $1" nothing "$(printf '%s\n' "$output" | grep -E '^(FAIL|warn)' || echo nothing)"
}

# check_audit USER KEY FROM: checks the journal of a login since the mark. The agent's line has the caller of the push,
# sshd's line has the client's address.
check_audit() {
    # An earlier push of the key, if it is still valid, is in the same line.
    further="(; further request-ids: [0-9a-f -]+)?"
    messages=$(journal)
    fingerprint=$(ssh-keygen -l -f "$STATE/$2.pub" | cut -d ' ' -f 2)
    check_line "the agent's line" \
        "Providing ssh key from EC2 Instance Connect with fingerprint: $(literal "$fingerprint"), request-id: [0-9a-f-]{36}, for IAM principal: arn:aws:iam::123456789012:user/bob$further" \
        "$(printf '%s\n' "$messages" | of_program eic-agent)"
    check_line "sshd's line" "Accepted publickey for $1 from $(literal "$3") port [0-9]+ ssh2: ED25519 $(literal "$fingerprint")" \
        "$(printf '%s\n' "$messages" | of_program sshd)"
}

# --- the contents of the disk --------------------------------------------------------------------------------------

# listing NAME: saves a listing of the disk: names, types, modes, owners, sizes and links, and the hashes of files in
# /etc.
listing() {
    in_guest 'cd / && { find . -xdev ! -type d -printf "%p %y %m %u:%g %s %l\n" -o -printf "%p %y %m %u:%g\n"
        find etc -xdev -type f -exec sha256sum {} + ; } | sort' >"$STATE/$1" </dev/null
}
