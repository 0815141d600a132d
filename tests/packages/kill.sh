#!/bin/sh
# `enable` and `disable` killed at every step, over one of the shapes: before every single system call of the agent's
# own that changes something. After each kill sshd accepts its configuration, each file of it is wholly the old or
# wholly the new one, and the next `enable` and `disable` come to their ends and leave nothing behind.
#
# A power cut differs from a kill only in what has not reached the disk, so that the order of fsync and rename is
# looked at in the trace itself.

# shellcheck disable=SC2086 # $chain is no argument where it is empty
shape "${case#*/}"

changing='creat|write|writev|pwrite64|pwritev|ftruncate|truncate|fallocate|copy_file_range|sendfile|fsync|fdatasync|sync|syncfs'
changing="$changing|rename|renameat|renameat2|unlink|unlinkat|link|linkat|symlink|symlinkat|mkdir|mkdirat|rmdir"
changing="$changing|chmod|fchmod|fchmodat|fchmodat2|chown|fchown|lchown|fchownat|utimensat|setxattr|fsetxattr"
changing="$changing|flock|kill|clone|clone3|fork|vfork|execve|exit_group"

# steps TRACE: the calls that change something, each as its name and which one of that name it is: `rename 2`. The
# first execve is strace's own.
steps() {
    awk -v changing="^($changing)$" '
        { name = $0; sub(/\(.*/, "", name); times[name]++ }
        name == "execve" && times[name] == 1 { next }
        name ~ changing || (name ~ /^open(at)?$/ && /O_WRONLY|O_RDWR|O_CREAT/) { print name, times[name] }
    ' "$1"
}

# save STATE, restore STATE: what the agent changes, and what a case of kills must start from each time.
changed='ssh systemd'
save() {
    rm -rf "${MACHINE:?}/$1"
    mkdir "$MACHINE/$1"
    for folder in $changed; do [ ! -d "$ROOT/etc/$folder" ] || cp -a "$ROOT/etc/$folder" "$MACHINE/$1"; done
}
restore() {
    for folder in $changed; do rm -rf "${ROOT:?}/etc/$folder"; done
    cp -a "$MACHINE/$1"/* "$ROOT/etc"
}

# content FILE: a short name of what is in it.
content() {
    if [ -e "$1" ]; then sha256sum <"$1" | cut -c 1-16; else echo absent; fi
}

# half_done: what is neither old nor new now, or nothing.
half_done() {
    for file in "$CONFIG" "$DROP_IN"; do
        content "$file" | grep -qxF -f "$MACHINE/whole/${file##*/}" || echo "${file##*/}: $(cat "$file")"
    done
    found=$(pair ec2-user)
    case $found in
    "$old_pair" | "$new_pair") ;;
    *) echo "pair: $found" ;;
    esac
    found=$(sshd_t)
    [ "$found" = good ] || echo "sshd -t: $found"
}

# goes_on: what goes wrong when the command is given again and then taken back, or is taken back at once.
goes_on() {
    save killed
    said=$(in_root /usr/bin/eic-agent enable $chain 2>&1 </dev/null) || echo "enable after it: exit status $?: $said"
    found=$(pair ec2-user)
    [ "$found" = "$new_pair" ] || echo "after enable, sshd asks: $found"
    [ -L "$ROOT/etc/systemd/system/multi-user.target.wants/eic-agent.service" ] || echo "after enable, eic-agent.service is not enabled"
    goes_back "enable and disable"
    restore killed
    goes_back "disable"
}
goes_back() {
    said=$(in_root /usr/bin/eic-agent disable 2>&1 </dev/null) || echo "disable: exit status $?: $said"
    everything now
    diff "$MACHINE/unwired" "$MACHINE/now" | sed "s/^/left after $1: /"
}

# everything NAME: all that is different from the prepared tree.
everything() { listing "$MACHINE/upper" >"$MACHINE/$1"; }

# kill_everywhere STATE COMMAND…: beginning each time from that state.
kill_everywhere() {
    from=$1
    shift
    what="eic-agent $*"
    restore "$from"
    in_root strace -o /run/trace /usr/bin/eic-agent "$@" >"$MACHINE/said" 2>&1 </dev/null ||
        failed "$what, traced" "exit status 0" "$(cat "$MACHINE/said")"
    check "$what: files of sshd that were opened to be written in place" none \
        "$(grep -E '^open(at)?\(.*"(/etc/ssh/sshd_config|/etc/ssh/sshd_config\.d/[^"]*\.conf)".*O_(WRONLY|RDWR|CREAT)' "$ROOT/run/trace" | grep . || echo none)"
    check "$what: renames and removals without an fsync of new content before, or of the folder after" none \
        "$(unsynced "$ROOT/run/trace" | grep . || echo none)"
    steps "$ROOT/run/trace" >"$MACHINE/steps"
    reached=0
    while read -r call which; do
        restore "$from"
        killed=0
        in_root strace -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$which" /usr/bin/eic-agent "$@" \
            >"$MACHINE/said" 2>&1 </dev/null || killed=$?
        if [ $killed -eq 137 ]; then
            reached=$((reached + 1))
        else
            failed "$what, killed before $call #$which" "a kill (137)" "$killed: $(cat "$MACHINE/said")"
            continue
        fi
        problem=$(half_done)
        state=$(where)
        problem=$problem$(goes_on)
        if [ -z "$problem" ]; then
            checks=$((checks + 1))
            printf '  ok      %s, killed before %s #%d: %s, sound, goes on\n' "$what" "$call" "$which" "$state"
        else
            failed "$what, killed before $call #$which" "sound, goes on" "$state: $problem"
        fi
    done <"$MACHINE/steps"
    check "$what: steps at which it was killed" "$(wc -l <"$MACHINE/steps")" "$reached"
    # A trace that shows nothing would be no test.
    check "$what: renames or removals among them" yes \
        "$(grep -qE '^(rename|unlink)' "$MACHINE/steps" && echo yes || echo no)"
}

# unsynced TRACE: changes that a power cut could show before their content, or forget.
unsynced() {
    awk '
        /^fsync|^fdatasync/ { synced = 1; pending = ""; next }
        /^unlink(at)?\(.*\/10-eic-agent\.conf".* = 0$/ { pending = $0; next }
        /^rename/ { if (!synced) print "before: " $0; pending = $0; synced = 0; next }
        /^write\(([3-9]|[1-9][0-9])/ { synced = 0 }
        END { if (pending != "") print "after: " pending }
    ' "$1"
}

# --- the states that are whole ---

lay
in_root dpkg -i "$DEB" >"$MACHINE/installed" 2>&1 || failed "dpkg -i" "exit status 0" "$(cat "$MACHINE/installed")"
run /usr/bin/eic-agent disable
mkdir "$MACHINE/whole"
save unwired-state
restore unwired-state
everything unwired
old_pair=$(pair ec2-user)
content "$CONFIG" >"$MACHINE/whole/sshd_config"
content "$DROP_IN" >"$MACHINE/whole/10-eic-agent.conf"

chain=
[ -z "$chained" ] || chain=--chain
agent enable $chain
check "enable's exit status" 0 "$status"
new_pair=$(pair ec2-user)
content "$CONFIG" >>"$MACHINE/whole/sshd_config"
content "$DROP_IN" >>"$MACHINE/whole/10-eic-agent.conf"
head -n 4 "$CONFIG" >"$MACHINE/lines"
content "$MACHINE/lines" >>"$MACHINE/whole/10-eic-agent.conf"
save wired-state

# --- killed ---

kill_everywhere unwired-state enable $chain
kill_everywhere wired-state disable
