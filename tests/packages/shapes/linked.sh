#!/bin/sh
# Configuration management keeps the file elsewhere: what is in its place is a link, and stays one.
place=block
lay() {
    mkdir "$ROOT/etc/managed"
    printf 'UsePAM yes\nX11Forwarding no\n' >"$ROOT/etc/managed/sshd_config"
    chmod 640 "$ROOT/etc/managed/sshd_config"
    ln -sf ../managed/sshd_config "$CONFIG"
}
extra() { check "what is in its place" ../managed/sshd_config "$(readlink "$CONFIG")"; }
