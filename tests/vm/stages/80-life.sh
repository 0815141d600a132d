#!/bin/sh
# A session stays open during the upgrade and the removal of the package. A purge leaves nothing.

# difference FROM TO: prints added and removed lines of two listings.
difference() { diff "$STATE/$1" "$STATE/$2" | grep '^[<>]' || :; }

check "sshd" active "$(of 'systemctl is-active ssh.service')"
push ec2-user pushed
open_session ec2-user pushed
check_session "before"
check "the version" "$(of 'dpkg-deb -f /run/offer/packages/*_amd64.deb Version')" \
    "$(of 'dpkg-query -W -f "\${Version}" eic-agent')"
mark
run 'dpkg -i /run/offer/later/*_amd64.deb'
check "dpkg -i, the upgrade: exit status" 0 "$status"
check "the version" 99.0.0-1 "$(of 'dpkg-query -W -f "\${Version}" eic-agent')"
check_session "after the upgrade"
check "systemd's messages about sshd during the upgrade" nothing "$(journal | of_program systemd | grep -i 'ssh\.service' || echo nothing)"
push ec2-user pushed
check_login ec2-user pushed
check "the unit" active "$(of 'systemctl is-active ec2-instance-connect')"

run 'dpkg --remove eic-agent'
check "dpkg --remove: exit status" 0 "$status"
check_session "after the removal"
check_says "the removal" 'reloaded ssh.service' "$output"
check_refused ec2-user pushed
run 'dpkg --purge eic-agent'
check "dpkg --purge: exit status" 0 "$status"
check_session "after the purge"
close_session
check "sshd" active "$(of 'systemctl is-active ssh.service')"
run 'systemctl list-units --all --no-pager --plain --no-legend "*eic-agent*" "*ec2-instance-connect*"'
check "units of eic-agent" "" "$output"

# The test itself made this folder.
run 'rm -r ~ec2-user/.ssh'
listing purged
check "/etc/ssh after the purge: differences" none "$(difference pristine purged | grep '[ /]etc/ssh/' || echo none)"
note "all differences:"
difference pristine purged | sed 's/^/  |       /'
# Amazon's package was removed, with its files and links and the folder of its drop-in.
check "differences except accounts, Amazon's package, and the state of dpkg, apt and systemd" nothing "$(difference pristine purged |
    grep -vE '[ /](var/lib/dpkg/|var/lib/apt/|var/cache/|var/log/|var/lib/systemd/|var/backups/|etc/(passwd|shadow|group|gshadow|subuid|subgid)-?( |$)|etc/(machine-id|resolv.conf|\.pwd\.lock|ld\.so\.cache)( |$))|ec2-instance-connect| \./usr/lib/systemd/system/ssh\.service\.d d ' ||
    echo nothing)"
check "the account that stays" eic-agent "$(of 'getent passwd | tail -n 1 | cut -d: -f1')"
