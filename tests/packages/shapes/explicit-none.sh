#!/bin/sh
# A hardening guide's drop-in that sorts first says that there is no command.
place=block
lay() {
    printf 'AuthorizedKeysCommand none\nAuthorizedKeysCommandUser nobody\n' >"$ROOT/etc/ssh/sshd_config.d/00-hardening.conf"
}
