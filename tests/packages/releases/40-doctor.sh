#!/bin/sh
# `doctor` reports each fault that makes sshd refuse a login

# compare WHAT USER WORD PATTERN: checks that doctor's verdict on a user (good or bad) agrees with a login by a pushed
# key.
compare() {
    push "$2" pushed
    agent doctor --no-color --user "$2"
    amiss=$(unfold "$output" | grep '^FAIL' || :)
    came=$(try_login "$2" pushed)
    if [ "$3" = good ]; then
        check "doctor's exit status, $1" 0 "$status"
        check "doctor's failures, $1" '' "$amiss"
        check "the login, $1" "logged in as $2" "$came"
    else
        check "doctor's exit status, $1" 1 "$status"
        check_says "doctor, $1," "$4" "$amiss"
        check "the login, $1" refused "$(case $came in "logged in"*) echo "$came" ;; *) echo refused ;; esac)"
    fi
}

compare "on a sound instance" ec2-user good

site 'AllowUsers git'
compare "with AllowUsers of another user" ec2-user bad '^FAIL +access .*AllowUsers'
compare "with AllowUsers of this user" git good
site 'DenyGroups ec2-user'
compare "with DenyGroups" ec2-user bad '^FAIL +access .*DenyGroups'
site 'PubkeyAuthentication no'
compare "without PubkeyAuthentication" ec2-user bad '^FAIL +.*PubkeyAuthentication'
site 'AuthorizedKeysCommand /usr/bin/true
AuthorizedKeysCommandUser nobody'
compare "with another command" ec2-user bad '^FAIL +command .*/usr/bin/true'
# OpenSSH before 8.5 knows only this name of the setting. Later releases accept it too.
site 'PubkeyAcceptedKeyTypes rsa-sha2-512,rsa-sha2-256'
compare "with other algorithms" ec2-user bad '^FAIL +.*[Pp]ubkey[Aa]ccepted'
site ''

in_root usermod -e 1 ec2-user
compare "with an account that has expired" ec2-user bad '^FAIL +account .*expired'
in_root usermod -e '' ec2-user

ip address del 169.254.169.254/32 dev lo
agent doctor --no-color --user ec2-user
check "doctor's exit status, without metadata" 1 "$status"
check_says "doctor, without metadata," '^FAIL +.*metadata' "$(unfold "$output")"
check_refused ec2-user pushed
ip address add 169.254.169.254/32 dev lo
compare "on a sound instance again" ec2-user good
