#!/bin/sh
# `[keys] session = "wrapper"`: the session has the principal without PermitUserEnvironment, and clients work as usual

# session WORDS: prints the output of a command in a login with the pushed key.
session() {
    push ec2-user pushed
    remote ec2-user pushed "$1"
}

settings '[keys]
session = "wrapper"'
site ''
agent config
check "config's exit status" 0 "$status"
# shellcheck disable=SC2016 # for the shell at the other end
check "the session" "arn:aws:iam::123456789012:user/bob 123456789012" "$(session 'echo "$EIC_PRINCIPAL $EIC_ACCOUNT"')"
push ec2-user pushed
# shellcheck disable=SC2086,SC2154 # options on purpose; ssh_options is set by release.sh's world
check "sftp" "Remote working directory: /home/ec2-user" "$(echo pwd | in_root timeout 200 sftp -q -b - $ssh_options -i /run/keys/pushed ec2-user@127.0.0.1 2>&1 | tail -n 1)"
await "the line of the session" logged 'eic-agent.*Session with a key from EC2 Instance Connect for user ec2-user'
agent explain ec2-user
check "explain's exit status" 0 "$status"
# A key with the wrapper must not open the root shell that sshd keeps closed.
site 'PermitRootLogin forced-commands-only'
agent config
check "config's exit status, with PermitRootLogin forced-commands-only" 0 "$status"
push root pushed
# sshd accepts the key and then ends the connection. Releases say it in different words.
check "a shell of root" refused "$(remote root pushed 'echo shell' | grep -x shell || echo refused)"
site 'PermitRootLogin prohibit-password'
agent config
push root pushed
# shellcheck disable=SC2016 # for the shell at the other end
check "the session of root" "principal:" "$(remote root pushed 'echo "principal:$EIC_PRINCIPAL"')"
# An option of sshd itself wins.
site 'ForceCommand echo sshd'
agent config
check "the session under ForceCommand" sshd "$(session 'echo free')"
settings ''
site ''
agent enable
check "enable's exit status" 0 "$status"
