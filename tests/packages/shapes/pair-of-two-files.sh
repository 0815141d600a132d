#!/bin/sh
# The effective command comes from one file, its user from another.
place=none
want=3
says='30-command\.conf.*keys-of'
before='/usr/local/bin/keys-of %u as git'
chain_place=block
chained='/usr/bin/eic-agent authorized-keys --provider-user git %u %f -- /usr/local/bin/keys-of %u as root'
provider_user=git
lay() {
    printf 'AuthorizedKeysCommandUser git\n' >"$ROOT/etc/ssh/sshd_config.d/05-user.conf"
    printf 'AuthorizedKeysCommand /usr/local/bin/keys-of %%u\n' >"$ROOT/etc/ssh/sshd_config.d/30-command.conf"
    printf 'AuthorizedKeysCommandUser nobody\n' >>"$CONFIG"
    provider /usr/local/bin/keys-of
}
