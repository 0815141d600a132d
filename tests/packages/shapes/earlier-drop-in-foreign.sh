#!/bin/sh
# The administrator's drop-in sorts before the agent's and sets another command.
place=none
want=3
says='05-admin\.conf.*keys-of'
before='/usr/local/bin/keys-of %u as git'
chain_place=block
chained='/usr/bin/eic-agent authorized-keys --provider-user git %u %f -- /usr/local/bin/keys-of %u as root'
provider_user=git
lay() {
    printf 'AuthorizedKeysCommand /usr/local/bin/keys-of %%u\nAuthorizedKeysCommandUser git\n' \
        >"$ROOT/etc/ssh/sshd_config.d/05-admin.conf"
    provider /usr/local/bin/keys-of
}
