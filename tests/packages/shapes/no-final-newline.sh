#!/bin/sh
# The last line has no line end.
place=block
lay() { printf 'UsePAM yes\nX11Forwarding no' >"$CONFIG"; }
