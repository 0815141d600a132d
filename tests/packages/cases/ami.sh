#!/bin/sh
# The provisioning script of packaging/ami on Debian, as Packer, EC2 Image Builder and user data run it: with a
# folder, a file and a repository, and repeatedly. Also the faults that make its final check stop a build.

# provision ARGUMENT…
provision() { run sh /run/provision "$@"; }

start_metadata
own_key ec2-user
cp "$PROJECT/packaging/ami/provision" "$ROOT/run/provision"
start_sshd
start_https
FOREIGN=0123456789ABCDEF0123456789ABCDEF01234567

provision
check "its exit status, without an argument" 1 "$status"
check_says "it" 'usage: provision PACKAGE\|FOLDER, or provision URL FINGERPRINT' "$output"
provision /run/nothing.deb
check "its exit status, for a file that is not there" 1 "$status"
mkdir "$ROOT/run/empty"
provision /run/empty
check "its exit status, for a folder without a package" 1 "$status"

# --- an untrusted server: the script must change nothing ---

# An operator's own list, which must survive every refusal.
printf 'Types: deb\nURIs: https://elsewhere.example/apt\nSuites: stable\nComponents: main\nEnabled: no\n' \
    >"$ROOT/etc/apt/sources.list.d/eic-agent.sources"
keep etc etc-before

# refuses PATTERN ARGUMENT…
refuses() {
    pattern=$1
    shift
    provision "$@"
    check "its exit status" 1 "$status"
    check_says "it" "$pattern" "$output"
    check "the version that is installed" "" "$(version)"
    keep etc etc-now
    check_same "/etc" "$MACHINE/etc-before" "$MACHINE/etc-now"
    check "files left in /tmp" "" "$(ls "$ROOT/tmp")"
}
refuses 'expected an https:// URL' http://packages.example.com/sound "$FINGERPRINT"
check "requests without TLS" "" "$(grep '^80 ' "$MACHINE/web.log")"
refuses 'expected a URL https' ftp://packages.example.com/sound "$FINGERPRINT"
refuses 'letters, digits' "$WEB/sound
Trusted: yes" "$FINGERPRINT"
refuses 'letters, digits' "$WEB/sound [trusted=yes]" "$FINGERPRINT"
refuses 'curl ended with 1$' "$WEB/to-http/sound" "$FINGERPRINT"
check "requests without TLS, for a redirect" "" "$(grep '^80 ' "$MACHINE/web.log")"
refuses 'curl ended with' "$WEB/endless" "$FINGERPRINT"
refuses 'curl ended with' "$WEB/nothing-there" "$FINGERPRINT"
refuses 'expected the FINGERPRINT' "$WEB/sound"
refuses 'expected the FINGERPRINT' "$WEB/sound" "${FINGERPRINT#??}"
refuses 'expected the FINGERPRINT' "$WEB/sound" "${FINGERPRINT#????????????????????????}"
refuses "expected the key $FOREIGN .*got $FINGERPRINT: nothing was changed" "$WEB/sound" $FOREIGN
refuses "expected the key $FINGERPRINT" "$WEB/stranger-key" "$FINGERPRINT"
refuses 'got more than one key' "$WEB/two-keys" "$FINGERPRINT"
refuses 'got a line' "$WEB/two-blocks" "$FINGERPRINT"
refuses 'got one with a subkey' "$WEB/key-and-subkey" "$FINGERPRINT"
refuses 'got a part of one' "$WEB/cut-key" "$FINGERPRINT"
# A server whose certificate this machine does not trust.
cp "$ROOT/etc/ssl/certs/ca-certificates.crt" "$MACHINE/believed"
cp "$MACHINE/emulator/ca.pem" "$ROOT/etc/ssl/certs/ca-certificates.crt"
provision "$WEB/sound" "$FINGERPRINT"
check_says "it" 'curl ended with 60' "$output"
cp "$MACHINE/believed" "$ROOT/etc/ssl/certs/ca-certificates.crt"

provision "$WEB/other-key" "$FINGERPRINT"
check "provision stops for a repository that a stranger signed" yes "$([ "$status" -ne 0 ] && echo yes)"
check "the version that is installed" "" "$(version)"
rm -f "$ROOT/etc/apt/sources.list.d/eic-agent.sources" "$ROOT/etc/apt/keyrings/eic-agent.asc"

provision /run/offer/current
check "its exit status, for a folder" 0 "$status"
check "the version that is installed" "$VERSION" "$(version)"
check_pair ec2-user "$OURS as eic-agent"
# The script has reloaded sshd.
wait_for_sshd
push ec2-user pushed
check_login ec2-user pushed
provision /run/offer/current
check "its exit status, once more" 0 "$status"
# The fingerprint in gpg's format, and a redirect to an https URL.
provision "$WEB/to-https/sound-later" "$(echo "$FINGERPRINT" | tr A-F a-f | sed 's/..../& /g')"
check "its exit status, for a repository with a later version" 0 "$status"
check "the version that is installed" "$LATER_VERSION" "$(version)"
run apt-get purge --yes eic-agent
provision "$WEB/other-lists" "$FINGERPRINT"
check "its exit status, with a source list on the server" 0 "$status"
check "apt's source list" "$(printf 'Types: deb\nURIs: %s/other-lists/apt\nSuites: stable\nComponents: main\nSigned-By: /etc/apt/keyrings/eic-agent.asc' "$WEB")" \
    "$(cat "$ROOT/etc/apt/sources.list.d/eic-agent.sources")"
check "requests without TLS" "" "$(grep '^80 ' "$MACHINE/web.log")"
provision file:///run/offer/sound "$FINGERPRINT"
check "its exit status, for a repository in a local folder" 0 "$status"

SCRIPT=$(sed -n 's/^provision   //p' /run/offer/sound.said)

# The component of Image Builder, phase by phase. The last phase needs an instance with systemd and is not tested here.
commands() {
    awk -v step="- name: $1" '$0 ~ step { in_step = 1 } in_step && /^            - \|$/ { text = 1; next }
        text && !/^              / { exit } text { sub(/^              /, ""); print }' "$PROJECT/packaging/ami/component.yml" |
        sed "s,{{ Repository }},$WEB/sound,g; s/{{ Fingerprint }}/$FINGERPRINT/g; s/{{ Script }}/$SCRIPT/g"
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
# The component must not run a script that the server changed.
SCRIPT=$(echo "$SCRIPT" | tr 0-9a-f 1-9a-f0)
commands Install >"$ROOT/run/component"
run bash /run/component
check "the exit status of the component's step, for another script" 1 "$status"
check "the version that is installed" "" "$(version)"

# --- the final check ---

# The running server has the options of Amazon's package. An instance with systemd would restart it.
run dpkg -i "$REFERENCE_DEB"
stop_sshd
start_sshd -o "AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys %u %f" \
    -o "AuthorizedKeysCommandUser ec2-instance-connect"
provision "$DEB"
check "its exit status, if the server has options of Amazon's package" 1 "$status"
check_says "it" 'sshd does not use eic-agent: no image should be made' "$output"

# The file of the process id is old: another process has that id now. The script must send it no signal.
mkdir "$ROOT/run/other"
cp "$ROOT/usr/bin/sleep" "$ROOT/run/other/sshd"
for user in root ec2-user; do
    become setpriv --reuid "$user" --clear-groups /run/other/sshd 600 </dev/null >"$MACHINE/other" 2>&1 &
    other=$!
    tries=0
    until [ "$(cat "/proc/$other/comm")" = sshd ]; do
        tries=$((tries + 1))
        [ $tries -le 100 ] || {
            failed "another process starts" sshd "$(cat "$MACHINE/other")"
            break
        }
        sleep 0.1
    done
    echo $other >"$ROOT/run/sshd.pid"
    provision "$DEB"
    check "its exit status, if the process id is that of another process" 1 "$status"
    check "the other process of $user" sshd "$(cat "/proc/$other/comm" 2>&1)"
    kill $other || :
    wait $other || :
    provision "$DEB"
    check "its exit status, if the process id is that of no process" 1 "$status"
    check_says "it" 'sshd does not use eic-agent: no image should be made' "$output"
done

# A reload with a configuration that sshd cannot read would end the server.
echo "$sshd_pid" >"$ROOT/run/sshd.pid"
echo 'NoSuchKeyword yes' >"$ROOT/etc/ssh/sshd_config.d/99-broken.conf"
provision "$DEB"
check "its exit status, if sshd cannot read its configuration" 1 "$status"
check_says "it" 'NoSuchKeyword' "$output"
sleep 1
check "the server" "$sshd_pid" "$(listeners)"
rm "$ROOT/etc/ssh/sshd_config.d/99-broken.conf"

stop_sshd
start_sshd
provision "$DEB"
check "its exit status, after a restart" 0 "$status"

echo 'PubkeyAuthentication no' >"$ROOT/etc/ssh/sshd_config.d/00-site.conf"
provision "$DEB"
check "its exit status, if sshd accepts no keys" 1 "$status"
check_says "it" 'no image should be made' "$output"
rm "$ROOT/etc/ssh/sshd_config.d/00-site.conf"

: >"$ROOT/etc/ssl/certs/ca-certificates.crt"
provision "$DEB"
check "its exit status, without a trusted root" 1 "$status"
check_says "it" 'a login would fail here' "$output"
