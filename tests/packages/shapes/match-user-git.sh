#!/bin/sh
# A command for one user only. The user git keeps it; all other users use the agent.
place=drop-in
says='Match User git'
git='/usr/local/bin/keys-of %u as git'
lay() {
    printf '\nMatch User git\n    AuthorizedKeysCommand /usr/local/bin/keys-of %%u\n    AuthorizedKeysCommandUser git\n' >>"$CONFIG"
    provider /usr/local/bin/keys-of
}
