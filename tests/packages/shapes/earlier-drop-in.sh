#!/bin/sh
# The administrator's drop-in sorts before the agent's and still sets the reference's command.
place=block
lay() {
    printf 'PermitRootLogin no\nAuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys %%u %%f\nAuthorizedKeysCommandUser ec2-instance-connect\n' \
        >"$ROOT/etc/ssh/sshd_config.d/05-admin.conf"
}
