#!/bin/sh
# The reference's lines in another spelling that sshd accepts: mixed case, equals signs, indentation.
place=block
lay() {
    cat >"$CONFIG" <<'CONFIG'
UsePAM yes
	authorizedKEYScommand=/opt/aws/bin/eic_run_authorized_keys %u %f
  AUTHORIZEDKEYSCOMMANDUSER = ec2-instance-connect
CONFIG
}
