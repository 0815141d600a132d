#!/bin/sh
# Only comments, including commented-out AuthorizedKeysCommand settings.
place=block
lay() { printf '#Include /etc/ssh/sshd_config.d/*.conf\n#AuthorizedKeysCommand /usr/bin/foreign\n#AuthorizedKeysCommandUser nobody\n' >"$CONFIG"; }
