#!/bin/sh
# The provisioning script of packaging/ami on Amazon Linux: over Amazon's package, and anew. It runs in the tree; dnf and
# rpm are this machine's, which it asks through two pipes.

start_metadata
own_key ec2-user
start_rpm
shape amazon-linux-2023
cp "$PROJECT/packaging/ami/provision" "$ROOT/run/provision"
rm -f "$ROOT/etc/debian_version" "$ROOT/etc/ssl/certs/ca-certificates.crt"
mkdir -p "$ROOT/etc/pki/tls/certs"
cp "$MACHINE/emulator/ca.pem" "$ROOT/etc/pki/tls/certs/ca-bundle.crt"

mkfifo "$ROOT/run/asked" "$ROOT/run/answered"
for program in dnf rpm; do
    cat >"$ROOT/usr/bin/$program" <<END
#!/bin/sh
printf "%s\\n" "$program \$*" >/run/asked
read -r status </run/answered
cat /run/said
exit "\$status"
END
    chmod 755 "$ROOT/usr/bin/$program"
done
# Opened for both, so that neither end sees the other go.
exec 5<>"$ROOT/run/asked" 6<>"$ROOT/run/answered"
while read -r program arguments <&5; do
    # shellcheck disable=SC2086 # words on purpose
    case $program in
    dnf) dnf_from sound $arguments ;;
    rpm) in_rpm $arguments ;;
    esac >"$MACHINE/asked" 2>&1
    printf '%s\n' "$output" >"$ROOT/run/said"
    echo "$status" >&6
done &

dnf_from sound install ec2-instance-connect-1.1
check "dnf's exit status, the reference" 0 "$status"
lay
start_sshd
for way in "over the reference" "once more"; do
    run sh /run/provision "$RPM"
    check "provision's exit status, $way" 0 "$status"
    check "packages" "eic-agent" "$(rpm --root "$ROOT" -qa --qf '%{NAME}\n' | grep -E 'eic|ec2')"
done
check_pair ec2-user "$OURS as eic-agent"
kill -HUP "$sshd_pid"
wait_for_sshd
push ec2-user pushed
check_login ec2-user pushed

in_rpm -e eic-agent
run sh /run/provision file:///run/offer/sound
check "provision's exit status, from a repository" 0 "$status"
check "the version that is installed" "$VERSION" "$(rpm_version)"
check "the repository that dnf knows" "file:///run/offer/sound/yum/\$basearch" \
    "$(sed -n 's/^baseurl=//p' "$ROOT/etc/yum.repos.d/eic-agent.repo")"
