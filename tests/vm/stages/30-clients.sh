#!/bin/sh
# Clients that make a key, push it and log in with it, and the tunnel of an EC2 Instance Connect Endpoint.

# mssh queries the instance, makes a key, pushes it and logs in. The local shell also parses its remote command.
mark
outside client mssh -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR -r us-east-1 \
    "ec2-user@$INSTANCE" whoami
check "mssh: exit status" 0 "$status"
check "mssh logs in as" ec2-user "$output"
check_line "the agent's line" 'Providing ssh key .* for IAM principal: arn:aws:iam::123456789012:user/bob(; further request-ids: .*)?' "$(audit)"
check_line "sshd's line" "Accepted publickey for ec2-user from $(literal "$CLIENT") port [0-9]+ ssh2: RSA SHA256:.*" "$(journal | of_program sshd)"

# aws_ssh ADDRESS-OF-INSTANCE OPTION…: imitates `aws ec2-instance-connect ssh` of AWS CLI 2: a key for one login, a
# query for the instance's address, the push, and ssh. AWS CLI 2 is in no package index. The requests and the ssh
# options are the same.
aws_ssh() {
    rm -f "$STATE/once" "$STATE/once.pub"
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$STATE/once"
    host=$(client aws ec2 describe-instances --instance-ids "$INSTANCE" \
        --query "Reservations[0].Instances[0].$1" --output text)
    shift
    check "the address in DescribeInstances" "$ADDRESS" "$host"
    aws_push ec2-user once
    # shellcheck disable=SC2086 # options on purpose
    outside timeout 300 ssh $ssh_options -o ServerAliveInterval=5 -p 22 -i "$STATE/once" "$@" "ec2-user@$host" \
        'echo "$(id -un) from ${SSH_CLIENT%% *}"'
}

mark
aws_ssh PublicIpAddress
check "the login of aws ec2-instance-connect ssh" "ec2-user from $CLIENT" "$output"
check_audit ec2-user once "$CLIENT"

# With --connection-type eice, the client also queries the endpoint, and its tunnel is ssh's proxy command.
mark
endpoint=$(client aws ec2 describe-instance-connect-endpoints --filters Name=state,Values=create-complete \
    --query 'InstanceConnectEndpoints[0].[InstanceConnectEndpointId,PreserveClientIp]' --output text)
check "the endpoint" "$(printf 'eice-0123456789abcdef0\tFalse')" "$endpoint"
aws_ssh PrivateIpAddress -o "ProxyCommand=$here/tunnel $ENDPOINT %h %p"
check "the login through the endpoint" "ec2-user from $ENDPOINT" "$output"
check_audit ec2-user once "$ENDPOINT"
