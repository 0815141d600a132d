#!/bin/sh
# The provisioning script of packaging/ami on Amazon Linux: over Amazon's package, and as a new installation. The script
# runs in the tree. It calls dnf and rpm of this machine through two pipes.

start_metadata
own_key ec2-user
start_rpm
shape amazon-linux-2023
cp "$PROJECT/packaging/ami/provision" "$ROOT/run/provision"
rm -f "$ROOT/etc/debian_version" "$ROOT/etc/ssl/certs/ca-certificates.crt"
mkdir -p "$ROOT/etc/pki/tls/certs"
cp "$MACHINE/emulator/ca.pem" "$ROOT/etc/pki/tls/certs/ca-bundle.crt"

relay_dnf

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
# The script has reloaded sshd.
wait_for_sshd
push ec2-user pushed
check_login ec2-user pushed

in_rpm -e eic-agent
start_https
# Debian's curl reads trusted roots from another path.
echo "cacert = /etc/pki/tls/certs/ca-bundle.crt" >"$ROOT/root/.curlrc"
run bash /run/provision "$WEB/other-key" "$FINGERPRINT"
check "provision stops for a repository that a stranger signed" yes "$([ "$status" -ne 0 ] && echo yes)"
check_says "dnf" 'Bad GPG signature' "$output"
check "the version that is installed" "" "$(rpm_version)"
rm -rf "$ROOT/etc/yum.repos.d" "$ROOT/etc/pki/rpm-gpg"
keep etc etc-before
# refuses FROM PATTERN
refuses() {
    run bash /run/provision "$WEB/$1" "$FINGERPRINT"
    check "provision's exit status, $1" 1 "$status"
    check_says "provision" "$2" "$output"
    keep etc etc-now
    check_same "/etc, $1" "$MACHINE/etc-before" "$MACHINE/etc-now"
}
refuses stranger-key "expected the key $FINGERPRINT .*nothing was changed"
refuses two-keys 'got more than one key'
refuses key-and-subkey 'got one with a subkey'
refuses to-http/sound 'curl ended with 1$'
# A repository file that an older script took from the server.
mkdir -p "$ROOT/etc/yum.repos.d"
cp /run/offer/other-lists/yum/eic-agent.repo "$ROOT/etc/yum.repos.d/"
run bash /run/provision "$WEB/other-lists" "$FINGERPRINT"
check "provision's exit status, from a repository" 0 "$status"
check "the version that is installed" "$VERSION" "$(rpm_version)"
check "dnf's repository" \
    "[eic-agent] name=eic-agent baseurl=$WEB/other-lists/yum/\$basearch enabled=1 gpgcheck=1 repo_gpgcheck=1 gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-eic-agent" \
    "$(tr '\n' ' ' <"$ROOT/etc/yum.repos.d/eic-agent.repo" | sed 's/ $//')"
check "requests without TLS" "" "$(grep '^80 ' "$MACHINE/web.log")"
# The dnf.conf of this tree has no `best=True`, with which `dnf install` would upgrade, too.
run bash /run/provision "$WEB/sound-later" "$FINGERPRINT"
check "provision's exit status, for a repository with a later version" 0 "$status"
check "the version that is installed" "$LATER_VERSION" "$(rpm_version)"
