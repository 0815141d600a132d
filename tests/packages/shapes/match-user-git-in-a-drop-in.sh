#!/bin/sh
# Like match-user-git, in a drop-in that sorts before the agent's. A Match block ends with its included file.
place=drop-in
says='Match User git'
git='/usr/local/bin/keys-of %u as git'
lay() {
    printf 'Match User git\n    AuthorizedKeysCommand /usr/local/bin/keys-of %%u\n    AuthorizedKeysCommandUser git\n' \
        >"$ROOT/etc/ssh/sshd_config.d/05-git.conf"
    provider /usr/local/bin/keys-of
}
