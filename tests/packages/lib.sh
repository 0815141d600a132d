#!/bin/sh
# Functions for the cases. A case runs outside the tree, in the machine's namespaces. It executes commands inside the
# tree with `run`.

# shellcheck disable=SC2016 # the quoted text is for other shells, perl and sshd

# All functions write and delete only below these folders.
: "${ROOT:?is set by world}" "${MACHINE:?}" "${STUFF:?}"

OURS='/usr/bin/eic-agent authorized-keys %u %f'
CONFIG=$ROOT/etc/ssh/sshd_config
DROP_IN=$ROOT/etc/ssh/sshd_config.d/10-eic-agent.conf

# shellcheck source=../checks.sh
. "$here/../checks.sh"

clean_up() { stop_sshd; }

# --- the tree -------------------------------------------------------------------------------------------------------

in_root() { (become "$@"); }

# become COMMAND…: replaces the shell with a command in the tree. The pid of a background job is then the command's.
become() {
    exec chroot "$ROOT" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive TERM=dumb "$@"
}

# run COMMAND…: runs a command in the tree, as root. Sets $status and $output, and prints both.
run() {
    status=0
    output=$(in_root "$@" 2>&1 </dev/null) || status=$?
    printf '  $ %s    [%d]\n' "$*" $status
    [ -z "$output" ] || printf '%s\n' "$output" | sed 's/^/  | /'
}

agent() { run /usr/bin/eic-agent "$@"; }

# version: prints the installed version of eic-agent, according to dpkg.
version() { in_root dpkg-query -W -f '${db:Status-Status} ${Version}' eic-agent 2>/dev/null | sed -n 's/^installed //p'; }

# touches: prints the inode and the modification time of each file in /etc/ssh.
touches() { (cd "$ROOT/etc/ssh" && find . -printf '%p %i %T@\n' | sort); }

# set_repository NAME: configures one of the repositories in /run/offer as apt's only source, with a source list like
# that of packaging/ami/provision.
set_repository() {
    mkdir -p "$ROOT/etc/apt/keyrings"
    cp "/run/offer/$1/eic-agent.asc" "$ROOT/etc/apt/keyrings/"
    cat >"$ROOT/etc/apt/sources.list.d/eic-agent.sources" <<END
Types: deb
URIs: file:///run/offer/$1/apt
Suites: stable
Components: main
Signed-By: /etc/apt/keyrings/eic-agent.asc
END
}

use_repository() {
    set_repository "$1"
    in_root apt-get update >"$MACHINE/apt-update" 2>&1 || failed "apt-get update" "exit status 0" "$(cat "$MACHINE/apt-update")"
}

# listing FOLDER: prints names, types, modes, owners, link targets and content hashes of all files below, one per line.
listing() {
    # The hashes are separate from the names, because a name may contain any character except a newline.
    (cd "$1" && find . -xdev -printf '%y %m %u:%g %p %l\n' | sort -k 4)
    (cd "$1" && find . -xdev -type f -print0 | sort -z | xargs -0 -r sha256sum)
}

# keep FOLDER NAME: saves a folder's listing under a name.
keep() { listing "$ROOT/$1" >"$MACHINE/$2"; }

# shape NAME: reads one of shapes/. shape-words.sh documents its variables.
shape() {
    # shellcheck source=shape-words.sh
    . "$here/shape-words.sh"
    # shellcheck source=/dev/null
    . "$here/shapes/$1.sh"
}

# documented FILE START: the fenced block of a document that begins with START.
documented() {
    "$PROJECT/tests/block" "$PROJECT/$1" "$2" || failed "$1" "one block that begins with: $2" "see above"
}

# --- rpm and dnf of this machine, applied to the tree -----------------------------------------------------------------

# outside COMMAND…: like `run`, but runs a program of this machine.
outside() {
    status=0
    output=$("$@" 2>&1 </dev/null) || status=$?
    printf '  $ %s    [%d]\n' "$*" $status
    [ -z "$output" ] || printf '%s\n' "$output" | sed 's/^/  | /'
}

# The Debian tree contains the files that an .rpm requires, but rpm does not know this. The empty package `base`
# provides their names.
start_rpm() {
    mkdir -p "$ROOT/var/lib/rpm"
    rpm --root "$ROOT" --initdb
    rpm --root "$ROOT" -i /run/offer/reference/base-*.rpm >"$MACHINE/rpm" 2>&1 ||
        failed "rpm -i base" "exit status 0" "$(cat "$MACHINE/rpm")"
}

in_rpm() { outside rpm --root "$ROOT" "$@"; }

# dnf_from REPOSITORY COMMAND…: runs dnf with one of the repositories in /run/offer and the unsigned one of the
# reference.
dnf_from() {
    from=$1
    shift
    new_dnf
    cat >"$MACHINE/dnf/eic-agent.repo" <<END
[eic-agent]
name=eic-agent
baseurl=file:///run/offer/$from/yum/\$basearch
enabled=1
gpgcheck=1
repo_gpgcheck=1
gpgkey=file:///run/offer/$from/eic-agent.asc
END
    run_dnf "$from" "$@"
}

# dnf_of_root COMMAND…: runs dnf with the tree's /etc/yum.repos.d and the tree's trusted certificates.
dnf_of_root() {
    new_dnf
    # The keys are in the tree, so their paths need its root as a prefix.
    for list in "$ROOT"/etc/yum.repos.d/*.repo; do
        [ ! -e "$list" ] || sed "s,=file:///etc/pki/,=file://$ROOT/etc/pki/," "$list" >"$MACHINE/dnf/${list##*/}"
    done
    echo "sslcacert=$ROOT/etc/pki/tls/certs/ca-bundle.crt" >>"$MACHINE/dnf/dnf.conf"
    run_dnf root "$@"
}

new_dnf() {
    rm -rf "$MACHINE/dnf"
    mkdir -p "$MACHINE/dnf"
    printf '[main]\nreposdir=%s\nlogdir=/run/dnf\npersistdir=/run/dnf\nplugins=0\n' "$MACHINE/dnf" >"$MACHINE/dnf/dnf.conf"
    printf '[reference]\nname=reference\nbaseurl=file:///run/offer/reference\ngpgcheck=0\n' >"$MACHINE/dnf/reference.repo"
}

# run_dnf CACHE COMMAND…
run_dnf() {
    cache=$1
    shift
    outside dnf --config "$MACHINE/dnf/dnf.conf" --setopt "cachedir=/run/dnf-$cache" --installroot "$ROOT" --releasever 9 \
        --assumeyes "$@"
}

# relay_dnf: gives the tree the commands dnf and rpm. They call those of this machine, through two pipes.
relay_dnf() {
    mkfifo "$ROOT/run/asked" "$ROOT/run/answered"
    for program in dnf rpm; do
        cat >"$ROOT/usr/bin/$program" <<END
#!/bin/sh
printf "%s\\n" "$program \$*" >/run/asked
read -r status </run/answered
cat /run/said
exit "\$status"
END
        chmod 755 "$ROOT/usr/bin/$program"
    done
    # Both pipes are open for reading and writing, so no process gets an end of file.
    exec 5<>"$ROOT/run/asked" 6<>"$ROOT/run/answered"
    while read -r program arguments <&5; do
        # shellcheck disable=SC2086 # words on purpose
        case $program in
        dnf) dnf_of_root $arguments ;;
        rpm) in_rpm $arguments ;;
        esac >"$MACHINE/asked" 2>&1
        printf '%s\n' "$output" >"$ROOT/run/said"
        echo "$status" >&6
    done &
}

# rpm_version: prints the installed version of eic-agent, according to rpm.
rpm_version() { rpm --root "$ROOT" -qa --qf '%{VERSION}-%{RELEASE}' eic-agent; }

# --- a web server with the repositories -----------------------------------------------------------------------------

# start_https: starts https://packages.example.com, and the same without TLS. It serves /run/offer and $MACHINE/web. The
# tree and the machine trust its certificate, in the files that curl, apt and dnf read.
start_https() {
    mkdir -p "$MACHINE/web"
    for entry in /run/offer/*; do ln -sf "$entry" "$MACHINE/web/"; done
    : >"$MACHINE/web.log"
    python3 "$here/https-server" "$MACHINE/web" "$STUFF/tls/server.pem" "$STUFF/tls/server.key" "$MACHINE/web.log" \
        >"$MACHINE/web.ready" 2>"$MACHINE/web.fault" </dev/null &
    tries=0
    until [ -s "$MACHINE/web.ready" ]; do
        tries=$((tries + 1))
        [ $tries -le 1200 ] || {
            failed "the web server starts" ready "$(cat "$MACHINE/web.fault")"
            return 1
        }
        sleep 0.1
    done
    printf '127.0.0.1 localhost packages.example.com\n' >"$ROOT/etc/hosts"
    printf '127.0.0.1 localhost packages.example.com\n' >"$MACHINE/hosts"
    mount --bind "$MACHINE/hosts" /etc/hosts
    for bundle in "$ROOT/etc/ssl/certs/ca-certificates.crt" "$ROOT/etc/pki/tls/certs/ca-bundle.crt"; do
        [ ! -e "$bundle" ] || cat "$STUFF/tls/ca.pem" >>"$bundle"
    done
}

WEB=https://packages.example.com

# --- sshd -----------------------------------------------------------------------------------------------------------

sshd_pid=
# The listening sockets of the server that wait_for_sshd saw last, with spaces between them.
waited_at=

# start_sshd [OPTION…]: starts sshd without daemonising. Its pid is then known, and it ends with the case.
start_sshd() {
    # The command line is like that of a unit's ExecStart.
    become /usr/sbin/sshd -D -E /run/sshd.log "$@" </dev/null >"$MACHINE/sshd.out" 2>&1 &
    sshd_pid=$!
    wait_for_sshd
}

# waits_at: prints the inodes of the sockets that listen on port 22.
waits_at() { awk '$2 ~ /:0016$/ && $4 == "0A" { print $10 }' /proc/net/tcp /proc/net/tcp6 | sort | tr '\n' ' '; }

# is_new SOCKET…: succeeds if there are sockets, and wait_for_sshd has seen none of them.
is_new() {
    [ $# -gt 0 ] || return 1
    for socket in "$@"; do
        case " $waited_at " in *" $socket "*) return 1 ;; esac
    done
}

# answers: checks whether sshd answers, and listens on no socket that wait_for_sshd has seen. After a SIGHUP, sshd closes
# its sockets, reads its configuration and opens new ones (sshd.c, sighup_restart), one after another. When it answers, it
# has opened all of them.
answers() {
    # shellcheck disable=SC2046 # words on purpose
    is_new $(waits_at) && in_root ssh-keyscan -T 30 -t ed25519 127.0.0.1 >/dev/null 2>&1 && is_new $(waits_at)
}

# wait_for_sshd: waits for sshd after its start or after a SIGHUP.
wait_for_sshd() {
    tries=0
    until answers; do
        tries=$((tries + 1))
        if [ $tries -gt 600 ] || ! kill -0 $sshd_pid 2>/dev/null; then
            failed "sshd starts" "an answer on port 22" "$(cat "$MACHINE/sshd.out" "$ROOT/run/sshd.log" 2>&1)"
            stop_sshd
            return 0
        fi
        sleep 0.1
    done
    waited_at=$(waits_at)
}

# listeners: prints the pids of listening servers.
listeners() { pgrep -x -f 'sshd: .*\[listener\].*' | tr '\n' ' ' | sed 's/ $//'; }

stop_sshd() {
    [ -n "$sshd_pid" ] || return 0
    kill "$sshd_pid" 2>/dev/null || :
    wait "$sshd_pid" 2>/dev/null || :
    sshd_pid=
    waited_at=
}

# setting USER NAME: prints sshd's effective setting for a user. OpenSSH 10.4 and later print names in mixed case.
setting() {
    in_root /usr/sbin/sshd -T -C "user=$1,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22" 2>/dev/null |
        sed -n "s/^$2 //Ip"
}

# effective USER: prints sshd's effective configuration for a user, without the pair of AuthorizedKeysCommand settings.
effective() {
    in_root /usr/sbin/sshd -T -C "user=$1,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22" 2>/dev/null |
        grep -vi '^authorizedkeyscommand'
}

# pair USER: prints the effective AuthorizedKeysCommand and AuthorizedKeysCommandUser as `COMMAND as USER`.
pair() {
    in_root /usr/sbin/sshd -T -C "user=$1,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22" 2>/dev/null |
        awk 'tolower($1) == "authorizedkeyscommand" { sub(/^[^ ]* /, ""); command = $0 }
            tolower($1) == "authorizedkeyscommanduser" { user = $2 }
            END { print command " as " user }'
}

check_pair() { check "sshd's command for $1's keys" "$2" "$(pair "$1")"; }

# sshd_t: prints `good`, or the errors of `sshd -t`. The output is ignored on success, because sshd also warns about
# deprecated settings.
sshd_t() {
    if fault=$(in_root /usr/sbin/sshd -t 2>&1); then echo good; else echo "$fault"; fi
}

check_sshd_t() {
    check "sshd -t" good "$(sshd_t)"
}

# --- logins ---------------------------------------------------------------------------------------------------------

# start_metadata: starts the emulator and a log reader. The log explains failed logins.
start_metadata() {
    start_emulator || return 1
    become perl -MSocket -e 'socket(S, PF_UNIX, SOCK_DGRAM, 0); bind(S, sockaddr_un("/dev/log")) or die;
        chmod 0666, "/dev/log"; $| = 1; while (defined recv(S, $_, 65536, 0)) { print "$_\n" }' \
        >"$MACHINE/syslog" 2>&1 </dev/null &
    # The reader lets every user write when it is ready.
    tries=0
    until [ -S "$ROOT/dev/log" ] && [ "$(stat -c %a "$ROOT/dev/log")" = 666 ]; do
        tries=$((tries + 1))
        [ $tries -le 1200 ] || {
            failed "the log reader starts" /dev/log "$(cat "$MACHINE/syslog")"
            return 1
        }
        sleep 0.1
    done
}

# start_emulator: starts instance metadata on its real address, and the AWS API.
start_emulator() {
    cp -a "$STUFF/emulator" "$MACHINE/emulator"
    # EC2 keeps a key for a minute. A busy machine may need longer until the login.
    "$EMULATOR" serve --imds 169.254.169.254:80 --api 127.0.0.1:8080 --state "$MACHINE/emulator" --key-ttl 900 \
        >"$MACHINE/emulator.ready" 2>"$MACHINE/emulator.log" </dev/null &
    tries=0
    until [ -s "$MACHINE/emulator.ready" ]; do
        tries=$((tries + 1))
        [ $tries -le 1200 ] || {
            failed "the emulator starts" "a line of JSON" "$(cat "$MACHINE/emulator.log")"
            return 1
        }
        sleep 0.1
    done
    # The machine trusts only this root.
    cp "$MACHINE/emulator/ca.pem" "$ROOT/etc/ssl/certs/ca-certificates.crt"
}

# push USER KEY
push() { send_ssh_public_key "$1" "$STUFF/keys/$2.pub"; }

ssh_options='-F /dev/null -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR
    -o BatchMode=yes -o IdentitiesOnly=yes -o ConnectTimeout=60'

# try_login USER KEY: prints the user who logged in, or the error of ssh.
try_login() {
    # shellcheck disable=SC2086 # options on purpose
    in_root timeout 200 ssh $ssh_options -i "/run/keys/$2" "$1@127.0.0.1" 'echo "logged in as $(id -un)"' </dev/null 2>&1 || :
}

# why: prints the last log lines of sshd and the agent, after a failed login.
why() { tail -qn 8 "$ROOT/run/sshd.log" "$MACHINE/syslog" 2>/dev/null | sed 's/^/            /'; }

# timeouts: counts the agent's log lines about timeouts.
timeouts() { grep -cE 'eic-agent.*(metadata-timeout|in time)' "$MACHINE/syslog" 2>/dev/null || :; }

# check_login USER KEY: checks a login. The shipped settings limit metadata to five seconds, and files to one second.
# On a busy machine that may be too short. The function repeats a login that failed because of a timeout.
check_login() {
    tries=0
    over=$(timeouts)
    came=$(try_login "$1" "$2")
    while [ "$came" != "logged in as $1" ] && [ $tries -lt 5 ] && sleep 1 && [ "$(timeouts)" != "$over" ]; do
        tries=$((tries + 1))
        over=$(timeouts)
        came=$(try_login "$1" "$2")
    done
    check "ssh $1@…, key $2" "logged in as $1" "$came"
    case $came in "logged in"*) ;; *) why ;; esac
}

# check_refused USER KEY
check_refused() {
    # sshd prints its other authentication methods in parentheses.
    check "ssh $1@…, key $2" "$1@127.0.0.1: Permission denied" "$(try_login "$1" "$2" | sed 's/ (.*//')"
}

# ssh_as USER KEY COMMAND
ssh_as() {
    # shellcheck disable=SC2086 # options on purpose
    become ssh $ssh_options -i "/run/keys/$2" "$1@127.0.0.1" "$3"
}

# own_key USER: writes an ordinary authorized_keys with the key `own`, which is independent of the packages.
own_key() {
    mkdir -p "$ROOT/home/$1/.ssh"
    cp "$STUFF/keys/own.pub" "$ROOT/home/$1/.ssh/authorized_keys"
    in_root chown -R "$1:" "/home/$1/.ssh"
    chmod 700 "$ROOT/home/$1/.ssh"
    chmod 600 "$ROOT/home/$1/.ssh/authorized_keys"
}
