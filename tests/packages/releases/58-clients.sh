#!/bin/sh
# `[keys] session = "wrapper"`: each client does with it what it does without it

# The clients run in the tree. $1 is the client's script, in which $SSH has the options of ssh and $HOST the user and the
# address.
client() {
    push ec2-user pushed
    # shellcheck disable=SC2154 # ssh_options is set by lib.sh
    in_root env "SSH=$(echo "$ssh_options" | tr '\n' ' ') -i /run/keys/pushed" HOST=ec2-user@127.0.0.1 HOME=/run/clients \
        timeout 200 sh -c "cd /run/clients; $1" </dev/null 2>&1 || echo "status $?"
}

# each KIND: runs each client, and compares what it says with the expectation.
each() {
    while IFS='|' read -r name expected script; do
        [ -n "$name" ] || continue
        check "$name, $1" "$expected" "$(client "$script" | tr '\n' ' ' | sed 's/ *$//')"
    done <<'END'
a command|out err status 7|ssh $SSH $HOST 'echo out; echo err >&2; exit 7'
a signal|0|ssh $SSH $HOST 'kill -TERM $$; sleep 60'; [ $? -ge 128 ]; echo $?
words|a  b /home/ec2-user|ssh $SSH $HOST echo '"a  b"' '$HOME'
the login shell|-sh status 3|printf 'echo $0\nexit 3\n' | ssh $SSH $HOST
a terminal|/dev/pts/ status 4|ssh -q $SSH -tt $HOST 'tty | cut -c1-9; exit 4' >said; status=$?; tr -d '\r' <said; exit $status
input|300000|head -c 300000 /dev/zero | ssh $SSH $HOST 'wc -c'
a long command|100000|long=$(head -c 100000 /dev/zero | tr '\0' x); ssh $SSH $HOST "printf $long | wc -c"
scp|same|scp -q $SSH big $HOST:new && scp -q $SSH $HOST:new back && cmp big back && rm back && echo same
scp with its own protocol|same|old=-O; ! scp -O 2>&1 | grep -q 'unknown option' || old=; scp -q $old $SSH big $HOST:new && scp -q $old $SSH $HOST:new back && cmp big back && rm back && echo same
sftp|Remote working directory: /home/ec2-user same|printf 'put big new\npwd\nget new back\nrm new\n' | sftp -q -b - $SSH $HOST | grep -v '^sftp>' && cmp big back && rm back && echo same
rsync|same|rsync -a -e "ssh $SSH" big $HOST:new && rsync -a -e "ssh $SSH" $HOST:new back && cmp big back && rm back && echo same
git|content|GIT_SSH_COMMAND="ssh $SSH" git clone -q $HOST:repository clone && cat clone/file; rm -rf clone
the agent|1|eval "$(ssh-agent)" >/dev/null; ssh-add -q /run/keys/pushed; ssh $SSH -A $HOST 'ssh-add -l | wc -l'; kill $SSH_AGENT_PID
X11|1|exec 2>/dev/null; xauth -q -f xa add 127.0.0.1:9 MIT-MAGIC-COOKIE-1 0123456789abcdef0123456789abcdef; DISPLAY=127.0.0.1:9 XAUTHORITY=$PWD/xa ssh $SSH -Y $HOST 'xauth list | wc -l'
local forwarding|through|ssh $SSH -f -N -M -S ctl -o ExitOnForwardFailure=yes -L 2201:127.0.0.1:22 $HOST && ssh $SSH -p 2201 $HOST echo through; ssh -q -S ctl -O exit x; while [ -S ctl ]; do sleep 0.1; done
remote forwarding|forwarded|ssh $SSH -o ExitOnForwardFailure=yes -R 2202:127.0.0.1:22 $HOST echo forwarded
no session|SSH-2.0-|ssh $SSH -W 127.0.0.1:22 $HOST </dev/null | cut -c 1-8
many sessions of one connection|1 1 2 2|ssh $SSH -f -N -M -S ctl $HOST; for i in 1 2; do ssh -S ctl x "echo $i; exit $i"; echo $?; done; ssh -q -S ctl -O exit x; while [ -S ctl ]; do sleep 0.1; done
END
}

install -d -m 0700 "$ROOT/run/clients"
head -c 700000 /dev/zero >"$ROOT/run/clients/big"
repository=/home/ec2-user/repository
# With the wrapper, sshd shows neither the message of the day nor the last login.
in_root sh -c "set -e; touch /home/ec2-user/.hushlogin; mkdir $repository; cd $repository; git init -q 2>/dev/null
    echo content >file; git add file; git -c user.name=a -c user.email=a@b commit -qm x; chown -R ec2-user: ."
site 'X11Forwarding yes'
each 'without the wrapper'
settings '[keys]
session = "wrapper"'
agent config
check "config's exit status" 0 "$status"
before=$(journal | grep -c 'eic-agent.*Session with a key')
each 'with the wrapper'
# One client has no session. Two have a connection more than sessions, and others have two or three sessions.
check "sessions with the wrapper" yes "$([ $(($(journal | grep -c 'eic-agent.*Session with a key') - before)) -ge 20 ] && echo yes)"
settings ''
site ''
rm -r "$ROOT/run/clients" "$ROOT$repository" "$ROOT/home/ec2-user/.hushlogin"
