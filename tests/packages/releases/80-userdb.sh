#!/bin/sh
# systemd's drop-in for sshd (userdbctl): `enable --chain`, and logins from both sources

case $suite in
bullseye | bookworm) cell='not shipped' ;;
*)
    userdb_as='/usr/bin/userdbctl ssh-authorized-keys %u as root'
    run sh -c 'dpkg -i /var/later/*.deb'
    check "dpkg's exit status" 0 "$status"
    check_pair ec2-user "$userdb_as"

    # A key that only systemd's user database has.
    mkdir -p "$ROOT/etc/userdb"
    printf '{"userName":"ec2-user","uid":%s,"gid":%s,"disposition":"regular"}\n' \
        "$(in_root id -u ec2-user)" "$(in_root id -g ec2-user)" >"$ROOT/etc/userdb/ec2-user.user"
    printf '{"privileged":{"sshAuthorizedKeys":["%s"]}}\n' "$(cat "$STUFF/keys/provider.pub")" \
        >"$ROOT/etc/userdb/ec2-user.user-privileged"
    chmod 600 "$ROOT/etc/userdb/ec2-user.user-privileged"
    restart_unit
    check_login ec2-user provider

    keep etc/ssh before
    run dpkg -i "$DEB"
    check "dpkg's exit status" 0 "$status"
    check_says "the installation" 'eic-agent enable --chain' "$output"
    keep etc/ssh now
    check_same "/etc/ssh after the installation" "$MACHINE/before" "$MACHINE/now"
    agent enable
    check "enable's exit status" 3 "$status"
    check_says enable '20-systemd-userdb\.conf' "$output"
    agent enable --chain
    check "the exit status of enable --chain" 0 "$status"
    check_pair ec2-user "/usr/bin/eic-agent authorized-keys %u %f -- $userdb_as"
    check_sshd_t
    restart_unit
    agent status
    check "status' exit status" 0 "$status"
    push ec2-user pushed
    check_login ec2-user pushed
    check_login ec2-user provider
    check_login ec2-user own
    check_refused ec2-user other
    agent doctor --no-color --user ec2-user
    check "doctor's exit status" 0 "$status"

    agent disable
    check "disable's exit status" 0 "$status"
    keep etc/ssh now
    check_same "/etc/ssh after disable" "$MACHINE/before" "$MACHINE/now"
    restart_unit
    check_login ec2-user provider
    check_refused ec2-user pushed
    run dpkg --purge eic-agent
    check "dpkg's exit status" 0 "$status"
    keep etc/ssh now
    check_same "/etc/ssh after the purge" "$MACHINE/before" "$MACHINE/now"
    ;;
esac
