#!/bin/sh
# Lines that end as on Windows: sshd takes them.
place=block
lay() { printf 'UsePAM yes\r\nX11Forwarding no\r\n# end\r\n' >"$CONFIG"; }
