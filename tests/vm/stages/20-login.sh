#!/bin/sh
# A pushed key logs in. sshd runs as a service.

check_refused ec2-user pushed
mark
aws_push ec2-user pushed
check_login ec2-user pushed
check_audit ec2-user pushed "$CLIENT"
check_refused ec2-user other
check_doctor "after a login"
