#!/bin/sh
# The last line does not end.
place=block
lay() { printf 'UsePAM yes\nX11Forwarding no' >"$CONFIG"; }
