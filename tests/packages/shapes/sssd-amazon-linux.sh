#!/bin/sh
# Another command without an Include, with arguments and a user of the administrator's choice.
place=none
want=3
says='sshd_config.*keys-of'
before='/usr/local/bin/keys-of "%u" %f as git'
chain_place=block
chained='/usr/bin/eic-agent authorized-keys --provider-user git %u %f -- /usr/local/bin/keys-of "%u" %f as root'
provider_user=git
lay() {
    printf 'AuthorizedKeysCommand /usr/local/bin/keys-of "%%u" %%f\nAuthorizedKeysCommandUser git\n' >"$CONFIG"
    provider /usr/local/bin/keys-of
}
