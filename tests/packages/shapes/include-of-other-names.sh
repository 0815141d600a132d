#!/bin/sh
# An Include of the folder that does not match our file's name.
place=block
lay() { printf 'Include /etc/ssh/sshd_config.d/[5-9]*.conf\nUsePAM yes\n' >"$CONFIG"; }
