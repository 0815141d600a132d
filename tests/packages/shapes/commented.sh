#!/bin/sh
# Nothing but comments, among them the settings in question.
place=block
lay() { printf '#Include /etc/ssh/sshd_config.d/*.conf\n#AuthorizedKeysCommand /usr/bin/foreign\n#AuthorizedKeysCommandUser nobody\n' >"$CONFIG"; }
