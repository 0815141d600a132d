# zsh complete.zsh SCRIPT LINE…: prints what zsh offers after each incomplete LINE, with the completions of SCRIPT.
#
# zsh completes only on a terminal. So this script starts a second zsh on a terminal and types the lines. The compadd of
# that zsh prints the offers.

zmodload zsh/zpty || exit
script=$1
shift

inside='
    PS1= PS2= RPS1=
    fpath=('${(q)script:h}' $fpath)
    autoload -Uz compinit && compinit -u -D
    compadd() {
        # Completion functions also call compadd to fill an array. This call must work as usual.
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
# until_line PATTERN: reads up to a line that matches. The limit of ten seconds is far more than zsh needs.
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
    print -u2 "expected a line $1 from zsh within ten seconds"
    exit 1
}

setup=$(mktemp) || exit
print -r -- $inside >$setup
zpty inner zsh -f -i
zpty -w inner "stty -echo; source ${(q)setup}"
until_line '<READY>'
rm -f $setup
for line; do
    # Control-U deletes the previous line.
    zpty -wn inner $'\C-u'$line$'\t'
    until_line '<END>'
    print -r -- "> $line"
    (( $#answer )) && print -rl -- $answer
done
zpty -d inner
exit 0
