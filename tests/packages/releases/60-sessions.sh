#!/bin/sh
# `sessions` with the journal of this release, and with a text log

ssh-keygen -q -t ed25519 -N '' -C session -f "$ROOT/run/keys/session"
ssh-keygen -q -t ed25519 -N '' -C unused -f "$ROOT/run/keys/unused"
session_key=$(ssh-keygen -l -f "$ROOT/run/keys/session.pub" | cut -d ' ' -f 2)
unused_key=$(ssh-keygen -l -f "$ROOT/run/keys/unused.pub" | cut -d ' ' -f 2)

# report FILE…: prints the session with the key, from `sessions --json` of the journal or of a file.
report() {
    in_root /usr/bin/eic-agent sessions --json "$@" </dev/null >"$MACHINE/sessions.json" 2>"$MACHINE/sessions.err" || :
    jq -r --arg key "$session_key" '.sessions[] | select(.fingerprint == $key) |
        "\(.user) \(.address) \(.pushes[0].principal | split("/")[1]) \(.pushes[0].verified) \(.state)"' "$MACHINE/sessions.json" 2>&1
}
has_state() { report | grep -q " $1\$"; }

send_ssh_public_key ec2-user "$ROOT/run/keys/session.pub"
open_session ec2-user session
check_session "by the pushed key"
send_ssh_public_key ec2-user "$ROOT/run/keys/unused.pub"
# ssh offers this key but cannot sign, because the passphrase is unknown.
ssh-keygen -q -p -P '' -N forgotten -f "$ROOT/run/keys/unused" >/dev/null
check_refused ec2-user unused
await "sshd's line about the session is in the journal" logged "Accepted publickey for ec2-user .* $(literal "$session_key")"

check "the open session" "ec2-user 127.0.0.1 bob true open" "$(report)"
close_session
await "the report contains the session's end" has_state closed
check "the session after its end" "ec2-user 127.0.0.1 bob true closed" "$(report)"
check "the key that was not used" "$unused_key" "$(jq -r '.unused[].fingerprint' "$MACHINE/sessions.json" | grep -Fx "$unused_key" || cat "$MACHINE/sessions.json")"
agent sessions
# On a busy machine, journald may not identify the writer of a line before that process ends. The report is then
# incomplete.
case $output in
*'warning: unattributed'*) complete=1 ;;
*) complete=0 ;;
esac
check "sessions' exit status" $complete "$status"
check "other warnings" '' "$(printf '%s\n' "$output" | grep '^warning: ' | grep -v '^warning: unattributed' || :)"
check_says "sessions, for people," 'ec2-user from 127\.0\.0\.1 port' "$output"
check_says "sessions, for people," "key +$(literal "$session_key")" "$output"

# The same with a text log, which does not record the writer of a line.
journal_text() { in_root journalctl --quiet --no-pager --output=short-iso; }
journal_text >"$ROOT/run/auth.log"
check "the session, by text" "ec2-user 127.0.0.1 bob false closed" "$(report /run/auth.log)"
note "this release's sshd logs for a session:"
journal | grep -E 'sshd(-session)?\[' | tail -n 8 | sed 's/^/  |   /'
