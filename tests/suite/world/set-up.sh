#!/bin/sh
# Creates the private instance inside new namespaces of networks, mounts and processes. This script mounts the private
# files over the folder `$1`. The other arguments are the command to run there, as root. The test suite and the
# benchmark read this file.
set -eu
umask 022
root=$1; shift
mount --make-rprivate /
mount -t proc proc /proc
ip link set lo up
ip address add 169.254.169.254/32 dev lo
ip -6 address add fd00:ec2::254/128 dev lo nodad 2>/dev/null || true
mount -t tmpfs -o mode=755 tmpfs "$root"
mkdir "$root/bin" "$root/home" "$root/etc" "$root/dev"

# The usual devices, in a private /dev in which a test can create /dev/log.
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"; mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/net"
# Not every machine has TUN. The test of a slow link reports this.
[ ! -e /dev/net/tun ] || { touch "$root/dev/net/tun"; mount --bind /dev/net/tun "$root/dev/net/tun"; }
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount --move "$root/dev" /dev
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd

# A private /etc, with accounts that can log in by key. The password "*" matches nothing and does not lock the
# account.
# cp fails if another program of the machine replaces a file meanwhile, such as a package manager. Then the copy begins anew.
copies=1
until cp -a /etc "$root/sysetc" 2>"$root/why"; do
    [ $copies -lt 20 ] || { cat "$root/why" >&2; exit 1; }
    copies=$((copies + 1))
    rm -rf "$root/sysetc"
done
rm "$root/why"
uid=60100
for user in ec2-user ubuntu admin provider eic-agent; do
    sed -i "/^$user:/d" "$root/sysetc/passwd" "$root/sysetc/shadow" "$root/sysetc/group"
    echo "$user:x:$uid:$uid::$root/home/$user:/bin/sh" >>"$root/sysetc/passwd"
    echo "$user:*:19000:0:99999:7:::" >>"$root/sysetc/shadow"
    echo "$user:x:$uid:" >>"$root/sysetc/group"
    mkdir -p "$root/home/$user/.ssh"
    chown -R "$uid:$uid" "$root/home/$user"
    uid=$((uid + 1))
done
rm -f "$root/sysetc/eic-agent.toml"
mount --bind "$root/sysetc" /etc
# The agent keeps its state below /var/lib.
mount -t tmpfs -o mode=755 tmpfs /var/lib
exec "$@"
