#!/bin/sh
# `[keys] environment`: the session has the principal, or sshd refuses the login

# session: prints the principal in the environment of a login with the pushed key.
session() {
    push ec2-user pushed
    # shellcheck disable=SC2016 # for the shell at the other end
    remote ec2-user pushed 'echo "EIC_PRINCIPAL=$EIC_PRINCIPAL"'
}

settings '[keys]
environment = true'
site 'PermitUserEnvironment EIC_*'
agent enable
check "enable's exit status" 0 "$status"
agent config
check "config's exit status, if sshd permits it" 0 "$status"
check "the session" "EIC_PRINCIPAL=arn:aws:iam::123456789012:user/bob" "$(session)"
agent doctor --no-color --user ec2-user
check "doctor's exit status, if sshd permits it" 0 "$status"
agent explain ec2-user
check "explain's exit status, if sshd permits it" 0 "$status"

site 'PermitUserEnvironment no'
agent enable
check "enable's exit status" 0 "$status"
check "the session, if sshd does not permit it" "ec2-user@127.0.0.1: Permission denied" "$(session | sed 's/ (.*//')"
agent doctor --no-color --user ec2-user
check "doctor's exit status, if sshd does not permit it" 1 "$status"
check_says "doctor" 'PermitUserEnvironment' "$output"
agent explain ec2-user
check "explain's exit status, if sshd does not permit it" 1 "$status"
settings ''
site ''
agent enable
check "enable's exit status" 0 "$status"
