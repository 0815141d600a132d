#!/bin/sh
# Functions that the tests of the packages (tests/packages) and of a whole machine (tests/vm) share: checks, pushes,
# and a session that stays open. The script that sources this file sets $MACHINE, a writable folder. If it calls AWS'
# own clients, it also sets $CLIENTS, their folder. It defines:
#
#   clean_up                    the cleanup at the end of a case, also after a failure
#   ssh_as USER KEY COMMAND     replaces the current shell with ssh, so callers use it in a subshell

: "${MACHINE:?}"

# --- checks: each prints the expected and the actual value --------------------------------------------------------

checks=0
failures=0

begin() {
    case=$1
    finished=false
    printf '\n=== %s\n' "$1"
    trap 'end $?' EXIT
}

# A case that does not reach `finish` has failed, even if its checks passed.
end() {
    clean_up
    $finished || {
        failures=$((failures + 1))
        echo "  FAILED  the case stopped early with exit status $1: see above"
    }
    if [ $failures -eq 0 ]; then verdict=ok; else verdict=FAILED; fi
    printf '=== %s: %s (%d checks, %d failed)\n' "$case" $verdict $checks $failures
    [ $failures -eq 0 ]
}

finish() { finished=true; }

note() { printf '  --      %s\n' "$*"; }

ok() {
    checks=$((checks + 1))
    printf '  ok      %s\n' "$*"
}

# failed WHAT EXPECTED ACTUAL
failed() {
    checks=$((checks + 1))
    failures=$((failures + 1))
    printf '  FAILED  %s\n          expected: %s\n          actual:   %s\n' "$1" "$2" "$3"
}

# check WHAT EXPECTED ACTUAL
check() {
    if [ "$2" = "$3" ]; then ok "$1: $2"; else failed "$1" "$2" "$3"; fi
}

# check_says WHAT PATTERN TEXT: checks that the text matches an extended regular expression, ignoring case.
check_says() {
    if printf '%s\n' "$3" | grep -qiE -- "$2"; then ok "$1 says: $2"; else failed "$1" "/$2/" "$3"; fi
}

# literal TEXT: prints an extended regular expression that matches exactly this text.
literal() { printf '%s' "$1" | sed 's/[][\.*^$+?(){}|/]/\\&/g'; }

# unfold TEXT: prints each line of a report together with its indented continuation lines, as one line.
unfold() {
    printf '%s\n' "$1" | awk '/^ / { sub(/^ +/, " "); line = line $0; next }
        NR > 1 { print line }
        { line = $0 }
        END { print line }'
}

# check_same WHAT BEFORE AFTER: checks that two listings are equal.
check_same() {
    if difference=$(diff "$2" "$3"); then
        ok "$1: the same"
    else
        failed "$1" "no difference" "$(printf '(< before, > now)\n%s' "$difference")"
    fi
}

# --- pushing a key, and a session that stays open and answers ---

# send_ssh_public_key USER FILE: pushes a key with a direct call of the emulator's API.
send_ssh_public_key() {
    body=$(printf '{"InstanceId":"i-0123456789abcdef0","InstanceOSUser":"%s","SSHPublicKey":"%s"}' \
        "$1" "$(cat "$2")")
    answer=$(curl -sS --max-time 100 http://127.0.0.1:8080/ \
        -H 'Content-Type: application/x-amz-json-1.1' \
        -H 'X-Amz-Target: AWSEC2InstanceConnectService.SendSSHPublicKey' \
        -H 'Authorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLEBOB/20250130/us-east-1/ec2-instance-connect/aws4_request, SignedHeaders=host, Signature=00' \
        -d "$body" 2>&1) || :
    case $answer in
    *'"Success":true'*) ;;
    *) failed "pushing the key $2 for $1" '"Success":true' "$answer" ;;
    esac
}

# client PROGRAM ARGUMENT…: runs an AWS client against the emulator.
client() {
    program=$1
    shift
    AWS_ACCESS_KEY_ID=AKIAEXAMPLEBOB AWS_SECRET_ACCESS_KEY=not-a-secret AWS_DEFAULT_REGION=us-east-1 \
        AWS_EC2_METADATA_DISABLED=true AWS_ENDPOINT_URL_EC2=http://127.0.0.1:8080 \
        AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT=http://127.0.0.1:8080 PATH="$CLIENTS:$PATH" HOME="$MACHINE" \
        timeout 300 "$CLIENTS/$program" "$@" </dev/null
}

# aws_send_ssh_public_key USER FILE: pushes a key with the AWS CLI.
aws_send_ssh_public_key() {
    answer=$(client aws ec2-instance-connect send-ssh-public-key --instance-id i-0123456789abcdef0 \
        --availability-zone us-east-1a --instance-os-user "$1" --ssh-public-key "file://$2" 2>&1) || :
    check_says "aws ec2-instance-connect send-ssh-public-key for $1, key ${2##*/}," '"Success": true' "$answer"
}

# open_session USER KEY
open_session() {
    mkfifo "$MACHINE/to" "$MACHINE/from"
    # shellcheck disable=SC2016 # for the shell at the other end
    ssh_as "$1" "$2" 'while read -r word; do echo "heard $word"; done' \
        <"$MACHINE/to" >"$MACHINE/from" 2>"$MACHINE/session.log" &
    exec 3>"$MACHINE/to" 4<"$MACHINE/from"
}

# check_session WHEN: checks that the open session answers.
check_session() {
    echo "$checks" >&3 || :
    # shellcheck disable=SC2016 # for that shell
    heard=$(timeout 100 sh -c 'read -r line && echo "$line"' <&4) || heard="no answer: $(cat "$MACHINE/session.log")"
    check "the open session, $1" "heard $checks" "$heard"
}

close_session() {
    exec 3>&- 4<&-
    rm "$MACHINE/to" "$MACHINE/from"
}
