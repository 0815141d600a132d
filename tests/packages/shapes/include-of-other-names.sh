#!/bin/sh
# The Include of the folder does not match the name of the agent's drop-in.
place=block
lay() { printf 'Include /etc/ssh/sshd_config.d/[5-9]*.conf\nUsePAM yes\n' >"$CONFIG"; }
