#!/bin/sh
# A drop-in of the administrator's that sorts before ours and still names the reference's command.
place=block
lay() {
    printf 'PermitRootLogin no\nAuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys %%u %%f\nAuthorizedKeysCommandUser ec2-instance-connect\n' \
        >"$ROOT/etc/ssh/sshd_config.d/05-admin.conf"
}
