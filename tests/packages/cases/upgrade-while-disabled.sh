#!/bin/sh
# The administrator's choice stays. An upgrade and `dpkg-reconfigure` do not enable an agent that was disabled, and do
# not remove an edit.

use_repository sound
keep etc/ssh before
run apt-get install --yes eic-agent
agent disable
check "disable's exit status" 0 "$status"
use_repository sound-later
run apt-get upgrade --yes
check "apt-get's exit status" 0 "$status"
check "the version that is installed" "$LATER_VERSION" "$(version)"
keep etc/ssh now
check_same "/etc/ssh after the upgrade" "$MACHINE/before" "$MACHINE/now"
check "the unit" disabled "$(in_root systemctl is-enabled eic-agent.service 2>&1)"
run dpkg --configure eic-agent
run dpkg-reconfigure eic-agent
check "dpkg-reconfigure's exit status" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh after dpkg-reconfigure" "$MACHINE/before" "$MACHINE/now"

# The administrator adds an option to the agent's line.
agent enable
sed -i 's/authorized-keys %u/authorized-keys --timeout 3 %u/' "$DROP_IN"
keep etc/ssh edited
run dpkg -i "$DEB"
check "dpkg's exit status, to the older version" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh with an added option, after a change of versions" "$MACHINE/edited" "$MACHINE/now"
check_pair ec2-user '/usr/bin/eic-agent authorized-keys --timeout 3 %u %f as eic-agent'
run dpkg --purge eic-agent
check "dpkg's exit status" 0 "$status"
keep etc/ssh now
check_same "/etc/ssh after the purge" "$MACHINE/before" "$MACHINE/now"
