#!/bin/sh
# The commands of README.md and docs/install.md on Debian: from the repository, and without a package.

# follow FILE START [EDIT]: runs a block of a document in the tree. EDIT is for sed.
follow() {
    documented "$1" "$2" | sed "${3-}" >"$ROOT/run/commands"
    run sh -eu /run/commands
    check "the exit status of $1, $2" 0 "$status"
}

printf '#!/bin/sh\nexec "$@"\n' >"$ROOT/usr/bin/sudo"
chmod 755 "$ROOT/usr/bin/sudo"
start_metadata
own_key ec2-user
cp "$PROJECT/packaging/ami/provision" "$ROOT/run/provision"
start_sshd
start_https
keep etc/ssh before

for file in README.md docs/install.md; do
    follow $file 'sudo sh provision URL FINGERPRINT' "s,provision URL FINGERPRINT,/run/provision $WEB/sound $FINGERPRINT,"
    check "the version that is installed" "$VERSION" "$(version)"
    check_pair ec2-user "$OURS as eic-agent"
    # The script has reloaded sshd.
    wait_for_sshd
    push ec2-user pushed
    check_login ec2-user pushed
    follow docs/install.md 'sudo eic-agent status'
    # apt-get asks before it removes a package.
    follow docs/install.md 'sudo apt-get purge eic-agent' 's/purge/& --yes/'
    check "the version that is installed after the purge" "" "$(version)"
    keep etc/ssh now
    check_same "/etc/ssh after the purge" "$MACHINE/before" "$MACHINE/now"
done

# --- without a package ---

in_root userdel eic-agent
mkdir "$MACHINE/deb"
dpkg-deb -x "$STUFF/offer/current/$(basename "$DEB")" "$MACHINE/deb"
documented docs/install.md 'make release pages' | sed 's/^sudo //' >"$MACHINE/commands"
check "the commands" "make release pages, make install prefix=/usr, systemd-sysusers, eic-agent enable" \
    "$(sed '$!s/$/,/' "$MACHINE/commands" | tr '\n' ' ' | sed 's/ $//')"
outside env DESTDIR="$ROOT" BINARY="$MACHINE/deb/usr/bin/eic-agent" make -C "$PROJECT" install prefix=/usr
check "the exit status of make install" 0 "$status"
run systemd-sysusers
check "the exit status of systemd-sysusers" 0 "$status"
agent enable
check "enable's exit status" 0 "$status"
kill -HUP "$sshd_pid"
wait_for_sshd
push ec2-user pushed
check_login ec2-user pushed
check "the documents that it installed" "$(cd "$PROJECT" && echo README.md docs/*.md)" \
    "$(cd "$ROOT/usr/share/doc/eic-agent" && echo README.md docs/*.md)"
