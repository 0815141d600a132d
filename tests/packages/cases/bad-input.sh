#!/bin/sh
# If the agent cannot be enabled, the configuration stays unchanged, and a message gives the reason. The installation of
# the package succeeds anyway.

laid() {
    rm -rf "${ROOT:?}/etc/ssh"
    cp -a "$MACHINE/laid" "$ROOT/etc/ssh"
}

# unchanged WHAT PATTERN [STATUS]: checks that enable fails with a message and does not change /etc/ssh. disable has
# nothing to remove and must not change it either. It succeeds, or ends with STATUS if it cannot read the file.
unchanged() {
    keep etc/ssh before
    agent enable
    check "enable's exit status, $1" 1 "$status"
    check_says "enable, $1" "$2" "$output"
    check_says "enable, $1" 'nothing is changed' "$output"
    keep etc/ssh now
    check_same "/etc/ssh after enable, $1" "$MACHINE/before" "$MACHINE/now"
    agent status
    check "status' exit status, $1" 1 "$status"
    agent disable
    check "disable's exit status, $1" "${3-0}" "$status"
    keep etc/ssh now
    check_same "/etc/ssh after disable, $1" "$MACHINE/before" "$MACHINE/now"
}

cp -a "$ROOT/etc/ssh" "$MACHINE/laid"

# --- an sshd_config that does not parse, before the installation ---

echo 'PermitRootLogn no' >>"$CONFIG"
keep etc/ssh before
run dpkg -i "$DEB"
check "dpkg's exit status, with an sshd_config that does not parse" 0 "$status"
check_says "the installation" 'PermitRootLogn' "$output"
check_says "the installation" 'eic-agent status' "$output"
keep etc/ssh now
check_same "/etc/ssh after the installation" "$MACHINE/before" "$MACHINE/now"
unchanged "with an sshd_config that does not parse" 'PermitRootLogn'

# The file breaks while the agent is enabled. disable must still remove the agent's lines.
laid
agent enable
echo 'PermitRootLogn no' >>"$CONFIG"
agent disable
check "disable's exit status, with an sshd_config that was broken later" 0 "$status"
check "our drop-in" gone "$([ -e "$DROP_IN" ] || echo gone)"
laid

# --- another command inside `Match all`: it overrides all lines outside ---

printf '\nMatch all\n    AuthorizedKeysCommand /bin/true\n    AuthorizedKeysCommandUser nobody\n' >>"$CONFIG"
keep etc/ssh before
agent enable
check "enable's exit status, with a Match all" 3 "$status"
agent enable --chain
check "enable --chain's exit status, with a Match all" 1 "$status"
check_says "enable --chain" 'inside "Match all"' "$output"
keep etc/ssh now
check_same "/etc/ssh after it" "$MACHINE/before" "$MACHINE/now"
laid

# --- no sshd_config at all ---

rm "$CONFIG"
unchanged "without an sshd_config" 'sshd_config'
laid

# --- an sshd_config that is too long ---

awk 'BEGIN { for (i = 0; i < 40000; i++) print "# a line of nothing in particular, and of no use to anybody" }' >>"$CONFIG"
unchanged "with two megabytes" 'bytes|large|longer' 1
laid

# --- a folder instead of sshd_config, and a dangling link ---

rm "$CONFIG" && mkdir "$CONFIG"
unchanged "with a folder instead of the file" 'sshd_config'
laid
ln -sf nowhere "$CONFIG"
unchanged "with a dangling link" 'sshd_config'
laid

# --- a read-only /etc ---

mount --bind "$ROOT/etc" "$ROOT/etc"
mount -o remount,ro,bind "$ROOT/etc"
unchanged "with a read-only /etc" 'read-only'
umount "$ROOT/etc"

# /etc becomes read-only while the agent is enabled. disable must fail with a message and change nothing.
agent enable
mount --bind "$ROOT/etc" "$ROOT/etc"
mount -o remount,ro,bind "$ROOT/etc"
keep etc/ssh before
agent disable
check "disable's exit status, with a read-only /etc" 1 "$status"
check_says disable 'read-only' "$output"
keep etc/ssh now
check_same "/etc/ssh after disable" "$MACHINE/before" "$MACHINE/now"
check_pair ec2-user "$OURS as eic-agent"
umount "$ROOT/etc"
laid

# --- a full disk ---

mount -t tmpfs -o mode=755 tmpfs "$ROOT/etc/ssh"
cp -a "$MACHINE/laid/." "$ROOT/etc/ssh"
mount -o remount,size=1m "$ROOT/etc/ssh"
dd if=/dev/zero of="$ROOT/etc/ssh/full" bs=4k 2>/dev/null || :
unchanged "on a full disk" 'No space left'
rm "$ROOT/etc/ssh/full"
agent enable
check "enable's exit status, with room again" 0 "$status"
dd if=/dev/zero of="$ROOT/etc/ssh/full" bs=4k 2>/dev/null || :
agent disable
check "disable's exit status, on a full disk" 0 "$status"
check "our drop-in" gone "$([ -e "$DROP_IN" ] || echo gone)"
umount "$ROOT/etc/ssh"
laid

# --- no sshd, no /etc/ssh, no user, no root ---

mv "$ROOT/usr/sbin/sshd" "$ROOT/usr/sbin/sshd.away"
unchanged "without sshd" 'no sshd'
mv "$ROOT/usr/sbin/sshd.away" "$ROOT/usr/sbin/sshd"

mv "$ROOT/etc/ssh" "$ROOT/etc/ssh.away"
agent enable
check "enable's exit status, without /etc/ssh" 1 "$status"
agent disable
check "disable's exit status, without /etc/ssh" 0 "$status"
check "/etc/ssh" none "$([ -e "$ROOT/etc/ssh" ] || echo none)"
mv "$ROOT/etc/ssh.away" "$ROOT/etc/ssh"

in_root userdel eic-agent
unchanged "without the user eic-agent" 'user.*eic-agent|eic-agent.*user'
in_root systemd-sysusers eic-agent.conf >/dev/null 2>&1
agent enable
check "enable's exit status, with the user back" 0 "$status"
agent disable

chmod 775 "$ROOT/usr/bin"
unchanged "with a folder of programs that others may write" 'writ'
chmod 755 "$ROOT/usr/bin"

keep etc/ssh before
for command in enable disable; do
    run setpriv --reuid=ec2-user --regid=ec2-user --clear-groups /usr/bin/eic-agent $command
    check "$command's exit status, as another user" 1 "$status"
    check_says "$command, as another user" 'root' "$output"
done
keep etc/ssh now
check_same "/etc/ssh" "$MACHINE/before" "$MACHINE/now"
for wrong in "enable now" "enable --chian" "disable --chain" "status --is-ec2 --json"; do
    # shellcheck disable=SC2086 # words on purpose
    agent $wrong
    check "exit status of: eic-agent $wrong" 2 "$status"
done
