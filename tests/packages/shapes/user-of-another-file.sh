#!/bin/sh
# Somebody set the user alone, in a file that sorts before ours: command and user win independently.
place=block
lay() {
    echo 'AuthorizedKeysCommandUser nobody' >"$ROOT/etc/ssh/sshd_config.d/05-user.conf"
}
