#!/bin/sh
# What the shapes are written with. `shape NAME` of lib.sh reads one.
#
# A shape says:
#   lay          how /etc/ssh comes to look like that
#   place        where our lines are after the installation: drop-in, block (on top of sshd_config) or none
#   want         exit status of `enable`: 0, or 3 where another command is in force
#   says         what `enable` tells the administrator, an extended regular expression
#   before       the pair that is in force before, where it matters
#   git          the pair of the user git, where it is another
#   chained, chain_place, provider_user
#                where want is 3: the pair, the place and the provider's user after `enable --chain`
#   extra        more to check while it is wired

want=0
says=
before=
git=
chained=
chain_place=
provider_user=root
extra() { :; }

# provider PATH: somebody else's AuthorizedKeysCommand. It knows one key, and leaves a note of who ran it.
provider() {
    mkdir -p "$(dirname "$ROOT$1")"
    printf '#!/bin/sh\nid -un >>/run/provider/ran\ncat /run/keys/provider.pub\n' >"$ROOT$1"
    chmod 755 "$ROOT$1"
    mkdir -p "$ROOT/run/provider"
    chmod 1777 "$ROOT/run/provider"
    : >"$ROOT/run/provider/ran"
    chmod 666 "$ROOT/run/provider/ran"
}

where() {
    if [ -e "$DROP_IN" ]; then
        if grep -q eic-agent "$CONFIG"; then echo both; else echo drop-in; fi
    elif head -n 1 "$CONFIG" | grep -q '^# >>> eic-agent'; then
        echo block
    elif grep -q eic-agent "$CONFIG"; then
        echo elsewhere
    else
        echo none
    fi
}
