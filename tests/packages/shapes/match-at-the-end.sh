#!/bin/sh
# A Match block that lasts to the end of the file: lines that are appended apply only to one group.
place=block
lay() {
    printf 'UsePAM yes\nPasswordAuthentication no\n\nMatch Group sftponly\n    ForceCommand internal-sftp\n    X11Forwarding no\n' >"$CONFIG"
}
