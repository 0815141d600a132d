#!/bin/sh
# Functions and defaults for the shapes. `shape NAME` in lib.sh reads a shape.
#
# A shape defines:
#   lay          a function that writes /etc/ssh
#   place        where the agent's lines are after the installation: drop-in, block (on top of sshd_config) or none
#   want         the exit status of `enable`: 0, or 3 if another command is effective
#   says         an extended regular expression for the output of `enable`
#   before       the effective pair before the installation, if it matters
#   git          the pair of the user git, if it differs
#   chained, chain_place, provider_user
#                if want is 3: the pair, the location and the provider's user after `enable --chain`
#   extra        a function with more checks while the agent is enabled

want=0
says=
before=
git=
chained=
chain_place=
provider_user=root
extra() { :; }

# provider PATH: installs another AuthorizedKeysCommand. It prints one key, and records the user who ran it.
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
