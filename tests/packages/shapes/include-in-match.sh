#!/bin/sh
# The only Include is inside a Match block, so a drop-in would apply only to git.
place=block
lay() {
    printf 'UsePAM yes\nMatch User git\n    Include /etc/ssh/sshd_config.d/*.conf\n' >"$CONFIG"
}
