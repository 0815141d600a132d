#!/bin/sh
# The life of the package on RHEL-like systems: installation with dnf from the signed repository, logins, an upgrade
# during an open session, and removal.

start_metadata
own_key ec2-user
start_rpm
shape rhel-9
lay
keep etc/ssh before
effective ec2-user >"$MACHINE/effective"

start_sshd
open_session ec2-user own
dnf_from sound install eic-agent
check "dnf's exit status" 0 "$status"
check "the version that is installed" "$VERSION" "$(rpm_version)"
check "our lines are in" drop-in "$(where)"
check "mode and owner of the drop-in" "600 root:root" "$(stat -c '%a %U:%G' "$DROP_IN")"
check_sshd_t
check_pair ec2-user "$OURS as eic-agent"
extra
effective ec2-user >"$MACHINE/effective-now"
check_same "sshd's other settings" "$MACHINE/effective" "$MACHINE/effective-now"
check_says "the installation" "kill -HUP $sshd_pid" "$output"
kill -HUP "$sshd_pid"
wait_for_sshd
push ec2-user pushed
check_login ec2-user pushed
check_refused ec2-user other
check_login ec2-user own
check_session "after the installation"
check "mode and owner of the folder of the memory" "700 eic-agent:eic-agent" "$(in_root stat -c '%a %U:%G' /run/eic-agent)"
check "the target of the reference's entry point" /usr/bin/eic-agent "$(in_root readlink -f /opt/aws/bin/eic_run_authorized_keys)"
check "the user" "/ /sbin/nologin" "$(in_root getent passwd eic-agent | cut -d: -f6,7 | sed 's,/usr/sbin,/sbin,' | tr : ' ')"
check "packages that it obsoletes" nothing "$(rpm --root "$ROOT" -q --obsoletes eic-agent | grep . || echo nothing)"
check "packages that it conflicts with" ec2-instance-connect "$(rpm --root "$ROOT" -q --conflicts eic-agent)"
check "names of the reference that it provides" 1 "$(rpm --root "$ROOT" -q --provides eic-agent | grep -c '^ec2-instance-connect')"
check "changed files according to rpm" none "$(rpm --root "$ROOT" -V eic-agent | grep . || echo none)"
check "files that root does not own, or that others may write" none \
    "$(rpm --root "$ROOT" -q --qf '[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]' eic-agent | grep -vE '^(l.{9}|[-d].{4}-..-.) root:root ' | grep . || echo none)"
check "its settings" "noreplace" "$(rpm --root "$ROOT" -q --qf '[%{FILEFLAGS:fflags} %{FILENAMES}\n]' eic-agent | sed -n 's/^cn \/etc\/eic-agent.toml$/noreplace/p')"

echo '# mine' >>"$ROOT/etc/eic-agent.toml"
touches >"$MACHINE/touched"
dnf_from sound-later upgrade
check "dnf's exit status" 0 "$status"
check "the version that is installed" "$LATER_VERSION" "$(rpm_version)"
touches >"$MACHINE/touched-now"
check_same "inodes and modification times in /etc/ssh" "$MACHINE/touched" "$MACHINE/touched-now"
check "the settings keep the edit" "# mine" "$(tail -n 1 "$ROOT/etc/eic-agent.toml")"
check "the memory after the upgrade" kept "$([ -s "$ROOT/run/eic-agent/evidence" ] && echo kept)"
check "messages of the upgrade about sshd" nothing "$(printf '%s\n' "$output" | grep -iE 'wired|AuthorizedKeys' | grep . || echo nothing)"
check_session "after the upgrade"
push ec2-user pushed
check_login ec2-user pushed

dnf_from sound-later remove eic-agent
check "dnf's exit status" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh after the removal" "$MACHINE/before" "$MACHINE/now"
check_session "after the removal"
check_login ec2-user own
close_session
check "files left by it" "./etc/eic-agent.toml.rpmsave" \
    "$(cd "$ROOT" && find . -xdev -iname '*eic[-_]*' ! -path './var/log/*' ! -path './var/cache/*' | sort)"
