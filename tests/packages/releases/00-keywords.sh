#!/bin/sh
# the spelling of keywords in `sshd -T`

if in_root /usr/sbin/sshd -T | grep -q '^AuthorizedKeysCommand '; then cell='mixed case'; else cell='lower case'; fi
case $suite in
bullseye) check "OpenSSH of Debian 11" 8.4 "${version%p*}" ;;
bookworm) check "OpenSSH of Debian 12" 9.2 "${version%p*}" ;;
trixie) check "OpenSSH of Debian 13" 10.0 "${version%p*}" ;;
testing) check "the spelling in testing" 'mixed case' "$cell" ;;
esac
check_says "sshd -T" '^authorizedkeyscommand none' "$(in_root /usr/sbin/sshd -T)"
