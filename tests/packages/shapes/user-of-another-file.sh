#!/bin/sh
# A file that sorts before the agent's sets only the user. sshd takes the first command and the first user
# independently.
place=block
lay() {
    echo 'AuthorizedKeysCommandUser nobody' >"$ROOT/etc/ssh/sshd_config.d/05-user.conf"
}
