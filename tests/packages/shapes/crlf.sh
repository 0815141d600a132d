#!/bin/sh
# CRLF line ends, which sshd accepts.
place=block
lay() { printf 'UsePAM yes\r\nX11Forwarding no\r\n# end\r\n' >"$CONFIG"; }
