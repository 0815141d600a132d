#!/bin/sh
# An Include in another spelling, relative to /etc/ssh, and two patterns on one line.
place=drop-in
lay() { printf 'include "sshd_config.d/*.conf" /etc/ssh/none/*.conf\nUsePAM yes\n' >"$CONFIG"; }
