#!/bin/sh
# `[keys] options`

# forwards: tests whether a login with the pushed key can forward a port.
forwards() {
    push ec2-user pushed
    remote ec2-user pushed 'echo forwarded' -o ExitOnForwardFailure=yes -R 127.0.0.1:0:127.0.0.1:22 | grep -x forwarded || echo refused
}

check "a port, without options" forwarded "$(forwards)"
settings '[keys]
options = "restrict,pty"'
agent config
check "config's exit status" 0 "$status"
check "a port, with restrict" refused "$(forwards)"
check_login ec2-user pushed
settings '[keys]
options = "from=\"198.51.100.0/24\""'
push ec2-user pushed
check_refused ec2-user pushed
settings '[keys]
options = "command=\"echo forced\""'
push ec2-user pushed
check "the output with a forced command" forced "$(remote ec2-user pushed 'echo free')"
# Options of a rule, with a value of the push. They replace the command of all keys: sshd ignores a key with two.
settings '[keys]
options = "restrict,command=\"echo forced\""
[[rule]]
action = "allow"
options = "command=\"echo %{account}\",port-forwarding"'
push ec2-user pushed
check "the output with the command of a rule" 123456789012 "$(remote ec2-user pushed 'echo free')"
settings '[[rule]]
action = "allow"
options = "from=\"198.51.100.0/24\""'
push ec2-user pushed
check_refused ec2-user pushed
# An option that no sshd knows. sshd would ignore the key without a message.
settings '[keys]
options = "no-such-option"'
agent config
check "config's exit status, with an option that sshd does not know" 1 "$status"
push ec2-user pushed
check_refused ec2-user pushed
settings ''
