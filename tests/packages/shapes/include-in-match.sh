#!/bin/sh
# The only Include stands inside a Match: a drop-in would be for git alone.
place=block
lay() {
    printf 'UsePAM yes\nMatch User git\n    Include /etc/ssh/sshd_config.d/*.conf\n' >"$CONFIG"
}
