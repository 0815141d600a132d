#!/bin/sh
# sshd_config is a link to a file of configuration management, and stays a link.
place=block
lay() {
    mkdir "$ROOT/etc/managed"
    printf 'UsePAM yes\nX11Forwarding no\n' >"$ROOT/etc/managed/sshd_config"
    chmod 640 "$ROOT/etc/managed/sshd_config"
    ln -sf ../managed/sshd_config "$CONFIG"
}
extra() { check "the target of the link" ../managed/sshd_config "$(readlink "$CONFIG")"; }
