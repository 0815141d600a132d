#!/bin/sh
# The reference's lines precede the Include, so a drop-in has no effect.
place=block
lay() {
    cat >"$CONFIG" <<'CONFIG'
AuthorizedKeysCommand /opt/aws/bin/eic_run_authorized_keys %u %f
AuthorizedKeysCommandUser ec2-instance-connect
Include /etc/ssh/sshd_config.d/*.conf
UsePAM yes
CONFIG
}
