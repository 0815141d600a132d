#!/bin/sh
# A drop-in from a hardening guide sorts first and sets AuthorizedKeysCommand to none.
place=block
lay() {
    printf 'AuthorizedKeysCommand none\nAuthorizedKeysCommandUser nobody\n' >"$ROOT/etc/ssh/sshd_config.d/00-hardening.conf"
}
