#!/bin/sh
# Like match-at-the-end, with an Include at the top and another one at the end, inside the Match block.
place=drop-in
lay() {
    printf '\nMatch Group sftponly\n    ForceCommand internal-sftp\n    Include /etc/ssh/sshd_config.d/*.conf\n' >>"$CONFIG"
}
