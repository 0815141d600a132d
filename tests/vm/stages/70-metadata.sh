#!/bin/sh
# The metadata service is unreachable. The user's own key still logs in.

in_guest 'umask 077; mkdir -p ~ec2-user/.ssh; cat >~ec2-user/.ssh/authorized_keys; chown -R ec2-user: ~ec2-user/.ssh' <"$STATE/own.pub"
check_login ec2-user own

push ec2-user pushed
nft 'add table inet away; add chain inet away out { type filter hook output priority 0; }; add rule inet away out ip daddr 169.254.169.254 drop'
mark
check_login ec2-user own
check "the agent's messages about it" nothing "$(audit | grep . || echo nothing)"
check_refused ec2-user pushed
check_says "the agent" 'No ssh keys .* for user ec2-user: metadata-(unreachable|timeout): ' "$(audit)"
nft 'delete table inet away'

check_login ec2-user pushed
