#!/bin/sh
# how `sshd -T` spells keywords

if in_root /usr/sbin/sshd -T | grep -q '^AuthorizedKeysCommand '; then cell='mixed case'; else cell='lower case'; fi
case $suite in
bullseye) check "the release of Debian 11" 8.4 "${version%p*}" ;;
bookworm) check "the release of Debian 12" 9.2 "${version%p*}" ;;
trixie) check "the release of Debian 13" 10.0 "${version%p*}" ;;
testing) check "the spelling of testing's release" 'mixed case' "$cell" ;;
esac
check_says "sshd -T" '^authorizedkeyscommand none' "$(in_root /usr/sbin/sshd -T)"
