# zsh complete.zsh SCRIPT LINE…: what zsh offers after each LINE, as typed so far, with the completions of SCRIPT.
#
# zsh completes only on a terminal: a second zsh gets one, is typed to, and has a compadd that prints what would be
# offered instead of offering it.

zmodload zsh/zpty || exit
script=$1
shift

inside='
    PS1= PS2= RPS1=
    fpath=('${(q)script:h}' $fpath)
    autoload -Uz compinit && compinit -u -D
    compadd() {
        # Asked by its own kind to fill an array, it does.
        if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
            builtin compadd "$@"
            return
        fi
        local -a offered
        builtin compadd -A offered "$@"
        (( $#offered )) && print -rl -- "<"${^offered}">"
    }
    zle -C ask complete-word asked
    asked() { print; _main_complete; print "<END>" }
    bindkey "^I" ask
    print "<READY"">"
'
# until_line PATTERN: what came up to a line of that kind; ten seconds are far more than it takes.
until_line() {
    local line
    integer start=$SECONDS
    answer=()
    while (( SECONDS - start < 10 )); do
        if zpty -rt inner line; then
            line=${${line%%$'\n'}%%$'\r'}
            [[ $line == *$1 ]] && return
            [[ $line == '<'*'>' ]] && answer+=(${${line#<}%>})
        else
            sleep 0.02
        fi
    done
    print -u2 "no answer from zsh; expected a line $1"
    exit 1
}

setup=$(mktemp) || exit
print -r -- $inside >$setup
zpty inner zsh -f -i
zpty -w inner "stty -echo; source ${(q)setup}"
until_line '<READY>'
rm -f $setup
for line; do
    # Control-U forgets what was typed before.
    zpty -wn inner $'\C-u'$line$'\t'
    until_line '<END>'
    print -r -- "> $line"
    (( $#answer )) && print -rl -- $answer
done
zpty -d inner
exit 0
