#!/bin/sh
# `enable`, `status`, `disable`: `/etc/ssh` byte for byte

# check_status WHAT STATUS IN-USE
check_status() {
    agent status
    check "status' exit status, $1" "$2" "$status"
    agent status --json
    check "in_use, $1" "$3" "$(printf '%s' "$output" | jq -r .in_use 2>&1)"
}

check_status "wired" 0 true
keep etc/ssh wired
agent enable
check "enable's exit status, wired already" 0 "$status"
check_says "enable, wired already" already "$output"
keep etc/ssh now
check_same "/etc/ssh after a second enable" "$MACHINE/wired" "$MACHINE/now"

agent disable
check "disable's exit status" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh after disable" "$MACHINE/before" "$MACHINE/now"
check_pair ec2-user "none as none"
restart_unit
check_status "not wired" 1 false
push ec2-user pushed
check_refused ec2-user pushed

agent enable
check "enable's exit status" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh after disable and enable" "$MACHINE/wired" "$MACHINE/now"
restart_unit
check_status "wired again" 0 true
check_login ec2-user pushed
