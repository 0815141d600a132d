#!/bin/sh
# The instance's clock is wrong. The log and doctor report it, and no pushed key logs in until the clock is right.

# shift_clock SECONDS
shift_clock() { run "date -s @$(($(date +%s) + $1))"; }

shift_clock 3600
push ec2-user pushed
check_verdict ec2-user pushed
check_says "the agent, with a clock that is an hour ahead," 'Refusing ssh key .* for user ec2-user: expired: expired .*, now ' "$(audit)"
run 'eic-agent doctor --no-color'
check "doctor's exit status" 1 "$status"
check_says "doctor" '^FAIL +clock .*3[56][0-9][0-9] s|^FAIL +clock .*ahead' "$(unfold "$output")"

shift_clock -172800
check_verdict ec2-user pushed
check_says "the agent, with a clock that is two days behind," 'No ssh keys .* for user ec2-user: (staple|signer)-not-yet-valid: ' "$(audit)"

shift_clock 0
push ec2-user pushed
check_login ec2-user pushed
