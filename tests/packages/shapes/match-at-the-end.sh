#!/bin/sh
# A Match that nothing ends: whatever is appended to this file is for one group alone.
place=block
lay() {
    printf 'UsePAM yes\nPasswordAuthentication no\n\nMatch Group sftponly\n    ForceCommand internal-sftp\n    X11Forwarding no\n' >"$CONFIG"
}
