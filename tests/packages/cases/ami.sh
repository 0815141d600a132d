#!/bin/sh
# The provisioning script of packaging/ami on Debian, as Packer, EC2 Image Builder and user data run it: from a folder,
# a file and a repository, again and again; and what makes its last gate stop a build.

# provision ARGUMENT…
provision() { run sh /run/provision "$@"; }

start_metadata
own_key ec2-user
cp "$PROJECT/packaging/ami/provision" "$ROOT/run/provision"
start_sshd

provision
check "its exit status, without an argument" 1 "$status"
check_says "it" 'usage: provision PACKAGE\|FOLDER\|URL' "$output"
provision /run/nothing.deb
check "its exit status, for a file that is not there" 1 "$status"
mkdir "$ROOT/run/empty"
provision /run/empty
check "its exit status, for a folder without a package" 1 "$status"
provision file:///run/offer/other-key
check "does it stop for a repository that a stranger signed" yes "$([ "$status" -ne 0 ] && echo yes)"
check "the version that is installed" "" "$(version)"
rm -f "$ROOT/etc/apt/sources.list.d/eic-agent.sources" "$ROOT/etc/apt/keyrings/eic-agent.asc"

provision /run/offer/current
check "its exit status, for a folder" 0 "$status"
check "the version that is installed" "$VERSION" "$(version)"
check_pair ec2-user "$OURS as eic-agent"
kill -HUP "$sshd_pid"
wait_for_sshd
push ec2-user pushed
check_login ec2-user pushed
provision /run/offer/current
check "its exit status, once more" 0 "$status"
provision file:///run/offer/sound-later
check "its exit status, for a repository with a later version" 0 "$status"
check "the version that is installed" "$LATER_VERSION" "$(version)"

# The component of Image Builder, its phases one after the other; the last takes an instance with systemd.
commands() {
    awk -v step="- name: $1" '$0 ~ step { in_step = 1 } in_step && /^            - \|$/ { text = 1; next }
        text && !/^              / { exit } text { sub(/^              /, ""); print }' "$PROJECT/packaging/ami/component.yml" |
        sed 's,{{ Repository }},file:///run/offer/sound,g'
}
run apt-get purge --yes eic-agent
for step in Install LookAgain; do
    commands $step >"$ROOT/run/component"
    check_says "the component's step $step" '^set -eu' "$(cat "$ROOT/run/component")"
    run bash /run/component
    check "its exit status" 0 "$status"
done
check "the version that is installed" "$VERSION" "$(version)"
run apt-get purge --yes eic-agent

# --- the gate ---

# Amazon's package, whose options the running server has: an instance with systemd has it restarted.
run dpkg -i "$REFERENCE_DEB"
stop_sshd
start_sshd -o "AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys %u %f" \
    -o "AuthorizedKeysCommandUser ec2-instance-connect"
provision "$DEB"
check "its exit status, where the server has options of Amazon's package" 1 "$status"
check_says "it" 'sshd does not use eic-agent: no image should be made' "$output"
stop_sshd
start_sshd
provision "$DEB"
check "its exit status, after a restart" 0 "$status"

echo 'PubkeyAuthentication no' >"$ROOT/etc/ssh/sshd_config.d/00-site.conf"
provision "$DEB"
check "its exit status, where sshd takes no keys" 1 "$status"
check_says "it" 'no image should be made' "$output"
rm "$ROOT/etc/ssh/sshd_config.d/00-site.conf"

: >"$ROOT/etc/ssl/certs/ca-certificates.crt"
provision "$DEB"
check "its exit status, without a trusted root" 1 "$status"
check_says "it" 'a login would fail here' "$output"
