#!/bin/sh
# Amazon Linux 2023: the file of OpenSSH 8.7 without an Include, so sshd does not read the drop-in folder. The
# reference's two lines are at the end.
place=block
lay() {
    cat >"$CONFIG" <<'CONFIG'
#	$OpenBSD: sshd_config,v 1.104 2021/07/02 05:11:21 dtucker Exp $

# This is the sshd server system-wide configuration file.  See
# sshd_config(5) for more information.

#Port 22
#HostKey /etc/ssh/ssh_host_rsa_key
HostKey /etc/ssh/ssh_host_ecdsa_key
HostKey /etc/ssh/ssh_host_ed25519_key

# Logging
SyslogFacility AUTHPRIV

AuthorizedKeysFile	.ssh/authorized_keys
#AuthorizedKeysCommand none
#AuthorizedKeysCommandUser nobody

PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM yes
X11Forwarding no
AcceptEnv LANG LC_CTYPE LC_NUMERIC LC_TIME LC_COLLATE LC_MONETARY LC_MESSAGES

Subsystem sftp	/usr/libexec/openssh/sftp-server

AuthorizedKeysCommand /opt/aws/bin/eic_run_authorized_keys %u %f
AuthorizedKeysCommandUser ec2-instance-connect
CONFIG
    chmod 600 "$CONFIG"
    echo 'PrintMotd no' >"$ROOT/etc/ssh/sshd_config.d/40-unread.conf"
    chmod 700 "$ROOT/etc/ssh/sshd_config.d"
}
