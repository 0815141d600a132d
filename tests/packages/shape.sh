#!/bin/sh
# Tests one shape of sshd's configuration from shapes/: the installation of the package over it, sshd's settings,
# logins, and the removal, which must restore every byte.

shape "${case#*/}"

# check_unwired WHEN: checks that /etc/ssh is the same as before the installation.
check_unwired() {
    keep etc/ssh now
    check_same "/etc/ssh $1" "$MACHINE/before" "$MACHINE/now"
}

modes_of() { stat -L -c '%a %U:%G' "$1"; }

# check_wired PLACE PAIR: checks that the agent's lines are in the right file and effective, and nothing else changed.
check_wired() {
    check "our lines are in" "$1" "$(where)"
    check_sshd_t
    check_pair ec2-user "$2"
    check_pair git "${git:-$2}"
    for file in "$CONFIG" "$DROP_IN"; do
        [ ! -e "$file" ] || check "mode and owner of ${file##*/}" "$modes" "$(modes_of "$file")"
    done
    effective ec2-user >"$MACHINE/effective-now"
    check_same "sshd's other settings" "$MACHINE/effective" "$MACHINE/effective-now"
    keep etc/ssh wired
    diff "$MACHINE/before" "$MACHINE/wired" | grep '^[<>]' |
        grep -vE '[./]sshd_config$|/sshd_config\.d/10-eic-agent\.conf |^[<>] [0-9a-f]{64}  \./sshd_config\.d/10-eic-agent\.conf$' \
            >"$MACHINE/besides" || :
    # The main file's mode and owner must not change, only its content.
    diff "$MACHINE/before" "$MACHINE/wired" | grep -E '^[<>] [fl] .* \./sshd_config ' >>"$MACHINE/besides" || :
    check "other changes in /etc/ssh" nothing "$(sed '$!s/$/;/' "$MACHINE/besides" | tr '\n' ' ' | sed 's/^$/nothing/' | grep . || echo nothing)"
    extra
}

# check_logins PROVIDER: checks a login with the user's own key, the pushed key and the provider's key. PROVIDER is
# none, foreign (only the provider is configured) or chained (the agent runs the provider).
check_logins() {
    start_sshd
    push ec2-user pushed
    check_login ec2-user own
    if [ "$1" = foreign ]; then check_refused ec2-user pushed; else check_login ec2-user pushed; fi
    if [ "$1" = none ]; then
        check_refused ec2-user other
    else
        : >"$ROOT/run/provider/ran"
        check_login ec2-user provider
        check "the provider ran as" "$provider_user" "$(sort -u "$ROOT/run/provider/ran")"
    fi
    stop_sshd
}

# --- before ---

lay
own_key ec2-user
start_metadata
keep etc/ssh before
cp -a "$ROOT/etc/ssh" "$MACHINE/laid"
modes=$(modes_of "$CONFIG")
effective ec2-user >"$MACHINE/effective"
[ -z "$before" ] || check_pair ec2-user "$before"

# --- installed ---

run dpkg -i "$DEB"
check "dpkg's exit status" 0 "$status"
[ -z "$says" ] || check_says "the installation" "$says" "$output"

if [ "$want" -eq 0 ]; then
    check_wired "$place" "$OURS as eic-agent"
    check_logins none
    agent enable
else
    check_unwired "after the installation"
    check_says "the installation" 'eic-agent enable --chain' "$output"
    check_logins foreign
    agent enable
    check "enable's exit status" "$want" "$status"
    check_says enable 'eic-agent enable --chain' "$output"
    check_unwired "after enable"
    agent status
    check "status' exit status" 1 "$status"
    agent enable --chain
    place=$chain_place
    check_wired "$chain_place" "$chained"
    check_logins chained
    agent enable
fi

# --- enabled already ---

check "enable's exit status, wired already" 0 "$status"
check_says "enable, wired already" already "$output"
keep etc/ssh now
check_same "/etc/ssh after a second enable" "$MACHINE/wired" "$MACHINE/now"
agent status
check "status' exit status" 0 "$status"

# --- disabled ---

agent disable
check "disable's exit status" 0 "$status"
check_unwired "after disable"
agent disable
check "disable's exit status, with nothing to do" 0 "$status"
agent status
check "status' exit status" 1 "$status"
check_unwired "after a second disable"

# --- disabled after an edit by the administrator ---

chain=
[ -z "$chained" ] || chain=--chain
# shellcheck disable=SC2086 # no argument where it is empty
agent enable $chain
check "enable's exit status" 0 "$status"
if [ "$place" = drop-in ]; then edited=$DROP_IN; else edited=$CONFIG; fi
# Add one line inside the agent's block and one below. sed -i would replace a link by a file.
awk '{ print } !done && /^AuthorizedKeysCommand / { print "MaxSessions 7"; done = 1 }' "$edited" >"$MACHINE/edited"
printf '\nMatch User nobody\n    X11Forwarding no\n' >>"$MACHINE/edited"
cat "$MACHINE/edited" >"$edited"
check_sshd_t
agent disable
check "disable's exit status, after an edit" 0 "$status"
check_sshd_t
check "the edit inside our lines" "maxsessions 7" "$(effective ec2-user | grep maxsessions)"
check "the edit below our lines" "    X11Forwarding no" "$(tail -n 1 "$edited")"
check "the agent's remaining lines" "" "$(grep -rliE 'eic-agent' "$ROOT/etc/ssh" | grep -v "^$DROP_IN$" || :)$(grep -iE '^[^#]*eic-agent' "$DROP_IN" 2>/dev/null || :)"

# --- purged while enabled ---

rm -rf "${ROOT:?}/etc/ssh"
cp -a "$MACHINE/laid" "$ROOT/etc/ssh"
# shellcheck disable=SC2086 # no argument where it is empty
agent enable $chain
check "enable's exit status" 0 "$status"
run dpkg --purge eic-agent
check "dpkg's exit status" 0 "$status"
check_unwired "after the purge"
check_sshd_t
