#!/bin/sh
# RHEL 9: an Include at the top, and a drop-in that includes the crypto policy. Only root may read the files.
place=drop-in
lay() {
    mkdir -p "$ROOT/etc/crypto-policies/back-ends"
    echo 'Ciphers aes256-gcm@openssh.com,aes256-ctr' >"$ROOT/etc/crypto-policies/back-ends/opensshserver.config"
    cat >"$ROOT/etc/ssh/sshd_config.d/50-redhat.conf" <<'CONFIG'
# This system is following system-wide crypto policy. The changes to
# crypto properties (Ciphers, MACs, ...) will not have any effect in
# this or following included files. To override some configuration option,
# write it before this block or include it before this file.
Include /etc/crypto-policies/back-ends/opensshserver.config

SyslogFacility AUTHPRIV
ChallengeResponseAuthentication no
GSSAPIAuthentication yes
GSSAPICleanupCredentials no
UsePAM yes
X11Forwarding yes
PrintMotd no
CONFIG
    cat >"$CONFIG" <<'CONFIG'
#	$OpenBSD: sshd_config,v 1.104 2021/07/02 05:11:21 dtucker Exp $

# To modify the system-wide sshd configuration, create a  *.conf  file under
#  /etc/ssh/sshd_config.d/  which will be automatically included below
Include /etc/ssh/sshd_config.d/*.conf

#Port 22
AuthorizedKeysFile	.ssh/authorized_keys
Subsystem	sftp	/usr/libexec/openssh/sftp-server
CONFIG
    chmod 600 "$CONFIG" "$ROOT/etc/ssh/sshd_config.d/50-redhat.conf"
    chmod 700 "$ROOT/etc/ssh/sshd_config.d"
}
extra() { check "the crypto policy" aes256-gcm@openssh.com,aes256-ctr "$(setting ec2-user ciphers)"; }
