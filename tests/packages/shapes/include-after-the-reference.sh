#!/bin/sh
# The reference's lines stand before the Include, so that a drop-in comes too late.
place=block
lay() {
    cat >"$CONFIG" <<'CONFIG'
AuthorizedKeysCommand /opt/aws/bin/eic_run_authorized_keys %u %f
AuthorizedKeysCommandUser ec2-instance-connect
Include /etc/ssh/sshd_config.d/*.conf
UsePAM yes
CONFIG
}
