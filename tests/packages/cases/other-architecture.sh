#!/bin/sh
# The packages of the other architecture contain the same files, and a program that works under qemu.

# files_of_deb PACKAGE, files_of_rpm PACKAGE: print names, modes and link targets.
files_of_deb() { dpkg-deb -c "$1" | awk '{ $3 = $4 = $5 = ""; print }' | sort -k 3; }
files_of_rpm() { rpm -qp --qf '[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES} %{FILELINKTOS}\n]' "$1" | sort -k 3; }

files_of_deb "$DEB" >"$MACHINE/native"
files_of_deb "$DEB_FOREIGN" >"$MACHINE/foreign"
check_same "files of both .deb" "$MACHINE/native" "$MACHINE/foreign"
files_of_rpm "$RPM" >"$MACHINE/native"
files_of_rpm "$RPM_FOREIGN" >"$MACHINE/foreign"
check_same "files of both .rpm" "$MACHINE/native" "$MACHINE/foreign"

run dpkg -i "$DEB_FOREIGN"
check "dpkg's exit status, of another architecture" 1 "$status"
check_says "dpkg" 'architecture' "$output"

# The native package provides the user and all files. Only the program is from the other package.
start_metadata
in_root dpkg -i "$DEB" >/dev/null 2>&1
mkdir "$MACHINE/deb" "$MACHINE/rpm-files"
dpkg-deb -x "$DEB_FOREIGN" "$MACHINE/deb"
rpm2archive -n - <"$RPM_FOREIGN" | tar -x -C "$MACHINE/rpm-files"
check "the program of both formats" "$(sha256sum <"$MACHINE/deb/usr/bin/eic-agent")" "$(sha256sum <"$MACHINE/rpm-files/usr/bin/eic-agent")"
cp "$MACHINE/deb/usr/bin/eic-agent" "$ROOT/run/foreign-agent"
cp "$(command -v "$QEMU")" "$ROOT/run/qemu"
run /run/qemu /run/foreign-agent --version
check "its version" "$(in_root /usr/bin/eic-agent --version)" "$output"
push ec2-user pushed
run /run/qemu /run/foreign-agent authorized-keys --timeout 60 ec2-user
check "the key that was pushed" "$(cut -d ' ' -f 1,2 "$STUFF/keys/pushed.pub")" "$(printf '%s\n' "$output" | cut -d ' ' -f 1,2)"
