#!/bin/sh
# AWS CLI 2 through an EC2 Instance Connect Endpoint

# shellcheck disable=SC2016 # the quoted text is for other shells

opened() { grep -cE 'GET /openTunnel.* 101$' "$MACHINE/emulator.log" || :; }

# from_readme START: runs a block of the emulator's README. Its `eic-emulator run` runs the command in the tree, which
# trusts the emulator's root.
from_readme() {
    block=$(documented tests/emulator/README.md "eic-emulator run --attach ~/eic $1")
    (cd "$MACHINE" && PATH=$MACHINE/bin:$PATH timeout 300 sh -c "$block" 2>&1) || echo "status $?"
}

with_endpoint() { timeout 300 "$MACHINE/bin/eic-emulator" -- "$@" 2>&1 || echo "status $?"; }

if [ -x "$ROOT/usr/bin/aws" ]; then
    note "$(in_root aws --version)"
    mkdir -p "$ROOT/root/.ssh" "$MACHINE/bin"
    # `sessions` warns about a key that several principals have pushed. No other row pushes this one.
    ssh-keygen -q -t ed25519 -N '' -C endpoint -f "$ROOT/root/key"
    printf 'StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n' >"$ROOT/root/.ssh/config"
    cat >"$MACHINE/bin/eic-emulator" <<END
#!/bin/sh
while [ "\$1" != -- ]; do shift; done
shift
exec "$EMULATOR" run --attach "$MACHINE/emulator" --as alice -- chroot "$ROOT" /usr/bin/env --chdir=/root HOME=/root \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb "\$@"
END
    chmod 755 "$MACHINE/bin/eic-emulator"

    # The remote shell reads its commands from standard input, because AWS CLI 2 passes no command to ssh.
    who='echo "logged in as $(id -un)"'
    came=$(echo "$who" | from_readme '--as alice -- aws ec2-instance-connect ssh')
    check "aws … ssh --connection-type eice" 'logged in as ec2-user' "$(echo "$came" | tail -n 1)"
    check tunnels 1 "$(opened)"
    check_says "aws … send-ssh-public-key" '"Success": true' \
        "$(from_readme '--as alice -- aws ec2-instance-connect send-ssh-public-key' </dev/null)"
    came=$(echo "$who" | from_readme '--as alice -- ssh -i key')
    check "ssh -o ProxyCommand='aws … open-tunnel'" 'logged in as ec2-user' "$(echo "$came" | tail -n 1)"
    check tunnels 2 "$(opened)"
    came=$(echo "$who" | with_endpoint aws ec2-instance-connect ssh --instance-id i-0123456789abcdef0 --os-user ec2-user \
        --private-key-file key --eice-options endpointId=eice-0123456789abcdef0,dnsName=localhost)
    check "aws … ssh --eice-options dnsName=localhost" 'logged in as ec2-user' "$(echo "$came" | tail -n 1)"
    check tunnels 3 "$(opened)"

    tunnel='aws ec2-instance-connect open-tunnel --instance-id i-0123456789abcdef0'
    check_says "a tunnel to another port" '"ErrorCode":"InvalidParameter".*Specify either 22 or 3389 as the RemotePort' \
        "$(with_endpoint sh -c "$tunnel --remote-port 5432" </dev/null)"
    # The end of its time is a normal end. sshd's banner comes before it. The input ends after the tunnel, which a busy machine
    # opens late.
    came=$(
        {
            tries=0
            until [ "$(opened)" -ge 4 ] || [ $tries -ge 3000 ]; do
                tries=$((tries + 1))
                sleep 0.1
            done
            sleep 8
        } | with_endpoint sh -c "$tunnel --max-tunnel-duration 2"
    )
    check_says "a tunnel of two seconds" '^SSH-2.0-' "$came"
    check "its exit status" "" "$(echo "$came" | grep '^status' || :)"
    # The client then sends empty frames without a pause.
    check_says "a tunnel whose input has ended" 'Too many frames without data' "$(with_endpoint sh -c "$tunnel" </dev/null)"
    # Another endpoint, which shares no code with the emulator, compares each field that the client sends.
    name=eice-0123456789abcdef0.1a2b3c4d.ec2-instance-connect-endpoint.us-east-1.test
    came=$(AWS_ACCESS_KEY_ID=AKIAEXAMPLE AWS_SECRET_ACCESS_KEY=+/secret/+ AWS_DEFAULT_REGION=us-east-1 \
        timeout 300 python3 -B "$PROJECT/tests/suite/tunnel/wire.py" $name eice-0123456789abcdef0 10.11.12.13 60 \
        "$ROOT/root/wire.pem" chroot "$ROOT" /usr/bin/env --chdir=/root HOME=/root SSL_CERT_FILE=wire.pem \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin aws ec2-instance-connect open-tunnel --max-tunnel-duration 60 \
        --instance-connect-endpoint-id eice-0123456789abcdef0 --instance-connect-endpoint-dns-name $name \
        --private-ip-address 10.11.12.13 2>&1)
    check "fields that differ from the wire format" "" "$(printf '%s\n' "$came" | grep -v '^ok ' || :)"
    check "fields of the wire format" 33 "$(printf '%s\n' "$came" | grep -c '^ok ' || :)"
    check_says CloudTrail 'OpenTunnel.*user/alice' "$(from_readme '-- aws cloudtrail lookup-events' </dev/null)"
    rm -r "$ROOT/root/.ssh" "$ROOT/root/key" "$ROOT/root/key.pub" "$ROOT/root/wire.pem"
else
    cell='no such client'
fi
