#!/bin/sh
# An Include in lower case with two patterns, one of them quoted and relative to /etc/ssh.
place=drop-in
lay() { printf 'include "sshd_config.d/*.conf" /etc/ssh/none/*.conf\nUsePAM yes\n' >"$CONFIG"; }
