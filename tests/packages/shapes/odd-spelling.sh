#!/bin/sh
# The reference's lines as sshd takes them, too: other letters, equals signs, indentation.
place=block
lay() {
    cat >"$CONFIG" <<'CONFIG'
UsePAM yes
	authorizedKEYScommand=/opt/aws/bin/eic_run_authorized_keys %u %f
  AUTHORIZEDKEYSCOMMANDUSER = ec2-instance-connect
CONFIG
}
