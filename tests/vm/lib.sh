#!/bin/sh
# What the stages are written with. A stage runs outside of the instance, in the namespaces that it and the emulator are
# in, and does everything inside by `run`.

: "${IMAGE:?is set by run}" "${STATE:?}" "${MACHINE:?}" "${ADDRESS:?}" "${CLIENT:?}" "${ENDPOINT:?}" "${INSTANCE:?}" "${CLIENTS:?}" \
    "${LOGS:?}"

# shellcheck source=../checks.sh
. "$here/../checks.sh"

clean_up() { :; }

# await SECONDS WHAT COMMAND…: until the command succeeds.
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

# --- inside, by the hand of its maker ------------------------------------------------------------------------------

# The cheapest key exchange: the emulated machine takes seconds for others.
ssh_options="-F /dev/null -o KexAlgorithms=curve25519-sha256 -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR
    -o BatchMode=yes -o IdentitiesOnly=yes -o ConnectTimeout=100"

# All commands go through one connection, which stays: what a stage does to sshd does not reach it.
connect() {
    # shellcheck disable=SC2086 # options on purpose
    timeout 200 ssh $ssh_options -M -S "$MACHINE/control" -f -N -i "$IMAGE/control" "root@$ADDRESS" </dev/null >/dev/null 2>&1
}

# disconnect: a machine that goes down does not say so.
disconnect() { ssh -F /dev/null -S "$MACHINE/control" -O exit "root@$ADDRESS" 2>/dev/null || :; }

# in_guest COMMAND: a line for its shell, as root.
in_guest() {
    # shellcheck disable=SC2086 # options on purpose
    timeout 600 ssh $ssh_options -S "$MACHINE/control" "root@$ADDRESS" "$1"
}

# boots: how often the console has seen a boot come to its end. Not asked over the network: qemu takes a connection for a
# machine that is down, and hands over all of them when it is up.
boots() { grep -c 'Reached target.*multi-user.target' "$LOGS/serial.log" || :; }

booted() { [ "$(boots)" -ge "$1" ]; }

# await_boot NUMBER: until the machine has booted that often.
await_boot() {
    await 1200 "the instance boots" booted "$1"
    await 300 "root of the instance logs in" connect
    in_guest 'systemctl is-system-running --wait; mkdir -p /run/offer; tar -xf /dev/nvme1n1 -C /run/offer' >/dev/null </dev/null
}

# run COMMAND: in the instance, as root; sets $status and $output, and shows both.
run() {
    shown "in the instance: $1" in_guest "$1"
}

# outside COMMAND…: as `run`, on this side.
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

# of COMMAND: what it prints in the instance.
of() { in_guest "$1" </dev/null; }

# check_line WHAT PATTERN TEXT: as check_says, but whole lines, the first of which is shown.
check_line() {
    if line=$(printf '%s\n' "$3" | grep -xE -m 1 -- "$2"); then ok "$1: $line"; else failed "$1" "a line /$2/" "$3"; fi
}

# --- the journal ---------------------------------------------------------------------------------------------------

# mark: what `journal` shows begins here.
mark() { cursor=$(of 'journalctl -q -n 0 --show-cursor' | sed -n 's/^-- cursor: //p'); }

# journal: all messages since the mark. Not those of one program: after a cursor that is none of its own, journalctl
# leaves out the first.
journal() { of "journalctl --sync; journalctl -q --no-pager -o short --after-cursor='$cursor'"; }

# of_program NAME: of a journal, what that one said.
of_program() { sed -nE "s/^[^ ]+ +[0-9]+ [0-9:]+ [^ ]+ $1\[[0-9]+\]: //p"; }

# audit: what the agent logged since the mark.
audit() { journal | of_program eic-agent; }

# --- pushing, and logging in ---------------------------------------------------------------------------------------

# push USER KEY
push() { send_ssh_public_key "$1" "$STATE/$2.pub"; }

# aws_push USER KEY: as people do.
aws_push() { aws_send_ssh_public_key "$1" "$STATE/$2.pub"; }

# ssh_as USER KEY COMMAND
ssh_as() {
    # shellcheck disable=SC2086 # options on purpose
    exec ssh $ssh_options -i "$STATE/$2" "$1@$ADDRESS" "$3"
}


# try_login USER KEY: prints who came in, or what ssh said.
try_login() {
    # shellcheck disable=SC2086 # options on purpose
    timeout 300 ssh $ssh_options -i "$STATE/$2" "$1@$ADDRESS" 'echo "logged in as $(id -un)"' </dev/null 2>&1 || :
}

# timeouts: how often the journal of this boot has the agent's word that its time was over.
timeouts() { of 'journalctl --sync; journalctl -q -b -t eic-agent -g "metadata-timeout: |in time" -o cat | wc -l'; }

# check_login USER KEY: the settings that are shipped give metadata five seconds, and files one. A login that they were not enough for, on a
# busy machine, is tried again.
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
    # What stands in brackets is what this sshd would have taken besides.
    check "ssh $1@…, key $2" "$1@$ADDRESS: Permission denied" "$(printf '%s\n' "$came" | sed 's/ (.*//')"
}

# check_doctor WHEN: nothing is broken, and nothing is odd.
check_doctor() {
    run 'eic-agent doctor --no-color'
    check "eic-agent doctor, $1: exit status" 0 "$status"
    check "what doctor finds amiss, $1" nothing "$(printf '%s\n' "$output" | grep -E '^(FAIL|warn)' || echo nothing)"
}

# check_audit USER KEY FROM: what the journal has of a login since the mark: ours says who pushed the key, sshd's from
# where it was used.
check_audit() {
    messages=$(journal)
    fingerprint=$(ssh-keygen -l -f "$STATE/$2.pub" | cut -d ' ' -f 2)
    check_line "the agent's line" \
        "Providing ssh key from EC2 Instance Connect with fingerprint: $(literal "$fingerprint"), request-id: [0-9a-f-]{36}, for IAM principal: arn:aws:iam::123456789012:user/bob" \
        "$(printf '%s\n' "$messages" | of_program eic-agent)"
    check_line "sshd's line" "Accepted publickey for $1 from $(literal "$3") port [0-9]+ ssh2: ED25519 $(literal "$fingerprint")" \
        "$(printf '%s\n' "$messages" | of_program sshd)"
}

# --- what is on the disk -------------------------------------------------------------------------------------------

# listing NAME: remembers what is on the disk: all names, types, modes, owners, sizes and links, and what /etc holds.
listing() {
    in_guest 'cd / && { find . -xdev ! -type d -printf "%p %y %m %u:%g %s %l\n" -o -printf "%p %y %m %u:%g\n"
        find etc -xdev -type f -exec sha256sum {} + ; } | sort' >"$STATE/$1" </dev/null
}
