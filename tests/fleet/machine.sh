# shellcheck shell=sh
# The machine of a test: tests/packages/world reads this script. It starts instance metadata, sshd, a web server with the
# repositories and a mock of AWS. Then it executes commands from standard input. Each line is a command in base64.

# start_moto: starts a mock of S3, and one of the compliance of Systems Manager, which moto does not have.
start_moto() {
    "$FLEET_PYTHON" -m moto.server --host 127.0.0.1 --port 5000 >"$MACHINE/moto.log" 2>&1 </dev/null &
    "$FLEET_PYTHON" "$PROJECT/tests/fleet/compliance" 5001 "$MACHINE/compliance" >>"$MACHINE/moto.log" 2>&1 </dev/null &
    tries=0
    until curl -s -o /dev/null http://127.0.0.1:5000/moto-api/ && curl -s -o /dev/null http://127.0.0.1:5001/; do
        tries=$((tries + 1))
        [ $tries -le 600 ] || {
            failed "the mock of AWS starts" "an answer" "$(cat "$MACHINE/moto.log")"
            return 1
        }
        sleep 0.1
    done
}

# as_ssm SHELL FILE [NAME=VALUE…]: runs a script in the tree as SSM Agent does, with the folder /run/first at the front of
# the PATH. The process has its own group.
as_ssm() {
    shell=$1
    file=$2
    shift 2
    (become PATH=/run/first:/usr/sbin:/usr/bin:/sbin:/bin AWS_ENDPOINT_URL=http://127.0.0.1:5000 \
        AWS_ENDPOINT_URL_SSM=http://127.0.0.1:5001 AWS_ACCESS_KEY_ID=AKIAEXAMPLE AWS_SECRET_ACCESS_KEY=not-a-secret AWS_EC2_METADATA_DISABLED=true \
        AWS_SSM_INSTANCE_ID=i-0123456789abcdef0 AWS_SSM_REGION_NAME=us-east-1 "$@" setsid --wait "$shell" "$file") </dev/null 2>&1
}

# cli ARGUMENT…: runs the AWS CLI of the tree.
cli() {
    in_root env AWS_ENDPOINT_URL=http://127.0.0.1:5000 AWS_ACCESS_KEY_ID=AKIAEXAMPLE AWS_SECRET_ACCESS_KEY=not-a-secret \
        AWS_DEFAULT_REGION=us-east-1 AWS_PAGER= aws "$@" </dev/null
}

start_metadata
if [ "$FLEET_KIND" = rpm ]; then
    start_rpm
    rm -f "$ROOT/etc/debian_version"
    mkdir -p "$ROOT/etc/pki/tls/certs"
    cp "$ROOT/etc/ssl/certs/ca-certificates.crt" "$ROOT/etc/pki/tls/certs/ca-bundle.crt"
    relay_dnf
fi
start_sshd
start_https
start_moto
printf '\n~~~ 0\n'
while IFS= read -r line; do
    code=0
    eval "$(printf '%s' "$line" | base64 -d)" || code=$?
    printf '\n~~~ %s\n' "$code"
done
finish
