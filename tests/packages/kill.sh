#!/bin/sh
# Kills `enable` and `disable` at every step, over one of the shapes: before each system call of the agent that
# changes something. After each kill, sshd must accept its configuration, and each file must be completely old or
# completely new. The next `enable` and `disable` must succeed and leave nothing behind.
#
# A power cut differs from a kill only in unwritten data. The script therefore checks the order of fsync and rename in
# the trace.

# shellcheck disable=SC2086 # an empty $chain must not be an argument
shape "${case#*/}"

changing='creat|write|writev|pwrite64|pwritev|ftruncate|truncate|fallocate|copy_file_range|sendfile|fsync|fdatasync|sync|syncfs'
changing="$changing|rename|renameat|renameat2|unlink|unlinkat|link|linkat|symlink|symlinkat|mkdir|mkdirat|rmdir"
changing="$changing|chmod|fchmod|fchmodat|fchmodat2|chown|fchown|lchown|fchownat|utimensat|setxattr|fsetxattr"
changing="$changing|flock|kill|clone|clone3|fork|vfork|execve|exit_group"

# steps TRACE: prints the calls that change something, each with its name and its number among the calls of this name:
# `rename 2`. The first execve is strace's own.
steps() {
    awk -v changing="^($changing)$" '
        { name = $0; sub(/\(.*/, "", name); times[name]++ }
        name == "execve" && times[name] == 1 { next }
        name ~ changing || (name ~ /^open(at)?$/ && /O_WRONLY|O_RDWR|O_CREAT/) { print name, times[name] }
    ' "$1"
}

# save STATE, restore STATE: the folders that the agent changes. Each kill starts from a saved state.
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

# content FILE: prints a short hash of the content.
content() {
    if [ -e "$1" ]; then sha256sum <"$1" | cut -c 1-16; else echo absent; fi
}

# half_done: prints the files and settings that are neither old nor new.
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

# goes_on: prints the errors of a following enable and disable, and of an immediate disable.
goes_on() {
    save killed
    said=$(in_root /usr/bin/eic-agent enable $chain 2>&1 </dev/null) || echo "enable after it: exit status $?: $said"
    found=$(pair ec2-user)
    [ "$found" = "$new_pair" ] || echo "after enable, sshd's command is: $found"
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

# everything NAME: saves the listing of all differences from the prepared tree.
everything() { listing "$MACHINE/upper" >"$MACHINE/$1"; }

# kill_everywhere STATE COMMAND…: kills the command at each step, starting from STATE each time.
kill_everywhere() {
    from=$1
    shift
    what="eic-agent $*"
    restore "$from"
    in_root strace -o /run/trace /usr/bin/eic-agent "$@" >"$MACHINE/said" 2>&1 </dev/null ||
        failed "$what, traced" "exit status 0" "$(cat "$MACHINE/said")"
    check "$what: sshd's files that were opened for writing" none \
        "$(grep -E '^open(at)?\(.*"(/etc/ssh/sshd_config|/etc/ssh/sshd_config\.d/[^"]*\.conf)".*O_(WRONLY|RDWR|CREAT)' "$ROOT/run/trace" | grep . || echo none)"
    check "$what: renames before an fsync of the content, and changes without an fsync of the folder after them" none \
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
            printf '  ok      %s, killed before %s #%d: %s, consistent, and the next commands succeed\n' "$what" "$call" "$which" "$state"
        else
            failed "$what, killed before $call #$which" "consistent, and the next commands succeed" "$state: $problem"
        fi
    done <"$MACHINE/steps"
    check "$what: steps at which it was killed" "$(wc -l <"$MACHINE/steps")" "$reached"
    # Guard against an empty trace.
    check "$what: renames or removals among them" yes \
        "$(grep -qE '^(rename|unlink)' "$MACHINE/steps" && echo yes || echo no)"
}

# unsynced TRACE: prints renames that a power cut could make visible before their content, and changes that a power
# cut could undo.
unsynced() {
    awk '
        /^fsync|^fdatasync/ { synced = 1; pending = ""; next }
        /^unlink(at)?\(.*\/10-eic-agent\.conf".* = 0$/ { pending = $0; next }
        /^rename/ { if (!synced) print "before: " $0; pending = $0; synced = 0; next }
        /^write\(([3-9]|[1-9][0-9])/ { synced = 0 }
        END { if (pending != "") print "after: " pending }
    ' "$1"
}

# --- the complete states ---

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
