#!/bin/sh
# The same with an Include at the top, and one more at the end, inside the Match.
place=drop-in
lay() {
    printf '\nMatch Group sftponly\n    ForceCommand internal-sftp\n    Include /etc/ssh/sshd_config.d/*.conf\n' >>"$CONFIG"
}
