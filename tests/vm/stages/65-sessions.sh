#!/bin/sh
# shellcheck disable=SC2154
# `sessions` with the journal of a whole machine, with the distribution's PAM and logind. Two principals log in as the
# same user at once. A pushed key is not used. The journal is rotated during a session. Another user forges log lines.

alice=arn:aws:iam::123456789012:user/alice
bob=arn:aws:iam::123456789012:user/bob
carol=arn:aws:iam::123456789012:user/carol
for key in first second unused; do
    rm -f "$STATE/$key" "$STATE/$key.pub"
    ssh-keygen -q -t ed25519 -N '' -C $key -f "$STATE/$key"
done

# push_as NAME USER KEY: pushes a key as another principal. Prints the request ID.
push_as() {
    AWS_ACCESS_KEY_ID=AKIAEXAMPLE$(printf '%s' "$1" | tr '[:lower:]' '[:upper:]') AWS_SECRET_ACCESS_KEY=not-a-secret \
        AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true \
        AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT=http://127.0.0.1:8080 PATH="$CLIENTS:$PATH" HOME="$MACHINE" \
        timeout 300 "$CLIENTS/aws" ec2-instance-connect send-ssh-public-key --instance-id "$INSTANCE" \
        --availability-zone us-east-1a --instance-os-user "$2" --ssh-public-key "file://$STATE/$3.pub" \
        --query RequestId --output text </dev/null
}

# stay USER KEY: opens a session that lasts until its file is removed.
stay() {
    : >"$STATE/stay-$2"
    # shellcheck disable=SC2086 # options on purpose
    (while [ -e "$STATE/stay-$2" ]; do sleep 0.2; done) |
        ssh $ssh_options -i "$STATE/$2" "$1@$ADDRESS" 'echo in; cat' >"$STATE/said-$2" 2>&1 &
    await 600 "$1 logs in with the key $2" grep -qx in "$STATE/said-$2"
}
clean_up() { rm -f "$STATE"/stay-*; }

# name KEY: prints the fingerprint, as in the log.
name() { ssh-keygen -l -f "$STATE/$1.pub" | cut -d ' ' -f 2; }

# report [OPTION…]: makes a report of the sessions that began in this stage. Exit status 1 means an incomplete report:
# journald may query the program of a line too late, when the process has ended.
report() { in_guest "eic-agent sessions --json --since $begun $*" </dev/null >"$STATE/sessions.json" || [ $? -eq 1 ]; }

# told KEY WHAT: prints fields of the session with this key.
told() { jq -r --arg key "$(name "$1")" ".sessions[] | select(.fingerprint == \$key) | $2" "$STATE/sessions.json"; }

# journald only knows the program of a process that still exists. So on a busy machine, it must not wait for a processor.
run 'chrt --fifo --pid 1 "$(systemctl show -P MainPID systemd-journald)"'
begun=$(of 'date +%s')
id1=$(push_as alice ec2-user first)
stay ec2-user first
id2=$(push_as bob ec2-user second)
stay ec2-user second
push_as carol ec2-user unused >/dev/null
# ssh offers this key but cannot sign, because the passphrase is unknown.
ssh-keygen -q -p -P '' -N forgotten -f "$STATE/unused" >/dev/null
check_verdict ec2-user unused

report
check "alice's session" "$alice $id1 true open pid-and-key $CLIENT" \
    "$(told first '"\(.pushes[0].principal) \(.pushes[0].request_id) \(.pushes[0].verified) \(.state) \(.joined_by) \(.address)"')"
check "bob's session" "$bob $id2 true open" \
    "$(told second '"\(.pushes[0].principal) \(.pushes[0].request_id) \(.pushes[0].verified) \(.state)"')"
check "the unused key" "$carol $(name unused)" \
    "$(jq -r '.unused[] | "\(.principal) \(.fingerprint)"' "$STATE/sessions.json")"

run 'journalctl --rotate'
pid=$(told first .sshd_pid)
key=$(name unused)
line="Providing ssh key from EC2 Instance Connect with fingerprint: $key, request-id: forged, for IAM principal: $bob"
run "runuser -u nobody -- logger -p authpriv.info -t eic-agent '$line'"
run "printf 'MESSAGE=x\nSYSLOG_IDENTIFIER=eic-agent\nEIC_EVENT=provided\nEIC_USER=ec2-user\nEIC_FINGERPRINT=$key\nEIC_PRINCIPAL=$bob\nEIC_SSHD_PID=$pid\n_UID=0\n' | runuser -u nobody -- logger --journald"
run "runuser -u nobody -- logger -p authpriv.info -t sshd --id=$pid 'pam_unix(sshd:session): session closed for user ec2-user'"
# Another user runs the agent: with the machine's settings, and with an endpoint of the user's choice. The log has that
# user's id for both runs.
run 'runuser -u nobody -- eic-agent authorized-keys ec2-user'
run 'runuser -u nobody -- eic-agent authorized-keys --imds-endpoint http://169.254.169.254 ec2-user'
report
check "alice's session, after a rotation and forged lines" "$alice open" "$(told first '"\(.pushes[0].principal) \(.state)"')"
check "forged lines in the report" "forged: 0" "forged: $(grep -c forged "$STATE/sessions.json")"
check "the user whose lines are ignored" "$(of 'id -u nobody')" "$(jq -r '.disbelieved[].uid' "$STATE/sessions.json")"

rm "$STATE/stay-first"
first_ended() { report && [ "$(told first .state)" = closed ]; }
await 600 "the report contains the end of alice's session" first_ended
check "bob's session, after the end of alice's" open "$(told second .state)"
rm "$STATE/stay-second"
second_ended() { report && [ "$(told second .state)" = closed ]; }
await 600 "the report contains the end of bob's session" second_ended
report --open
check "open sessions" 0 "$(jq '.sessions | length' "$STATE/sessions.json")"
report
check "other warnings" none \
    "$(jq -r '.warnings[].id' "$STATE/sessions.json" | grep -vx -e unattributed -e clock-set-back || echo none)"
run "eic-agent sessions --since $begun"
check "eic-agent sessions: exit status" "$(jq 'if .complete then 0 else 1 end' "$STATE/sessions.json")" "$status"

# The same with a text log, in which no principal is verified.
run 'journalctl -q --no-pager -o short-iso-precise SYSLOG_IDENTIFIER=sshd SYSLOG_IDENTIFIER=eic-agent >/run/auth.log'
# A text log does not record the writer of a line. The forged end has no matching beginning, so the report is
# incomplete.
text_status=0
in_guest 'eic-agent sessions --json /run/auth.log' </dev/null >"$STATE/sessions.json" || text_status=$?
check "a text log with a forged end: exit status" 1 "$text_status"
check "completeness and first warning" "false beginning-rotated-away" "$(jq -r '"\(.complete) \(.warnings[0].id)"' "$STATE/sessions.json")"
check "alice's session, by text" "$alice false closed" \
    "$(told first '"\(.pushes[0].principal) \(.pushes[0].verified) \(.state)"')"
