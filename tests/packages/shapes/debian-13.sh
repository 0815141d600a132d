#!/bin/sh
# Debian 13: an Include at the top, and systemd's drop-in, a link to a file of its package. It sets another command, and
# only the administrator may replace it.
place=none
want=3
says='20-systemd-userdb\.conf.*userdbctl'
before='/usr/bin/userdbctl ssh-authorized-keys %u as root'
chain_place=drop-in
chained='/usr/bin/eic-agent authorized-keys %u %f -- /usr/bin/userdbctl ssh-authorized-keys %u as root'
lay() {
    mkdir -p "$ROOT/usr/lib/systemd/sshd_config.d"
    cat >"$ROOT/usr/lib/systemd/sshd_config.d/20-systemd-userdb.conf" <<'CONFIG'
# Make sure SSH authorized keys recorded in user records can be consumed by SSH
AuthorizedKeysCommand /usr/bin/userdbctl ssh-authorized-keys %u
AuthorizedKeysCommandUser root
CONFIG
    ln -s ../../../usr/lib/systemd/sshd_config.d/20-systemd-userdb.conf "$ROOT/etc/ssh/sshd_config.d/"
    provider /usr/bin/userdbctl
}
