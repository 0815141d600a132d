#!/bin/sh
# A directory service: SSSD's command as in its documentation, run as the user `nobody`.
place=none
want=3
says='sshd_config.*sss_ssh_authorizedkeys'
before='/usr/bin/sss_ssh_authorizedkeys as nobody'
chain_place=drop-in
chained='/usr/bin/eic-agent authorized-keys --provider-user nobody %u %f -- /usr/bin/sss_ssh_authorizedkeys %u as root'
provider_user=nobody
lay() {
    printf 'AuthorizedKeysCommand /usr/bin/sss_ssh_authorizedkeys\nAuthorizedKeysCommandUser nobody\n' >>"$CONFIG"
    provider /usr/bin/sss_ssh_authorizedkeys
}
