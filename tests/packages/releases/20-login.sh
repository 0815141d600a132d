#!/bin/sh
# logins: a pushed key, a refused key, the user's own key

start_unit
check_refused ec2-user pushed
aws_send_ssh_public_key ec2-user "$STUFF/keys/pushed.pub"
check_login ec2-user pushed
check_refused ec2-user other
check_refused git pushed
check_login ec2-user own
fingerprint=$(literal "$(ssh-keygen -l -f "$STUFF/keys/pushed.pub" | cut -d ' ' -f 2)")
await "the agent's line about the pushed key is in the journal" \
    logged "eic-agent\[[0-9]+\]: Providing ssh key .* fingerprint: $fingerprint, .*:user/bob"
await "sshd's line about it is in the journal" \
    logged "sshd(-session)?\[[0-9]+\]: Accepted publickey for ec2-user .* $fingerprint"
