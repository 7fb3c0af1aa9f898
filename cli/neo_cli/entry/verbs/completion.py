"""`neo-cli completion SHELL`: the script that teaches a shell to complete our command lines."""

from __future__ import annotations

import click

from neo_cli.entry.context import Context

BASH = r"""# neo-cli completion for bash. Put into ~/.bashrc:  eval "$(neo-cli completion bash)"
_neo_cli() {
    local words=("${COMP_WORDS[@]:1:COMP_CWORD}") line cur
    # bash splits at "=" and ":"; put the words together again as they stand on the line
    local text="${COMP_LINE:0:COMP_POINT}"
    read -r -a words <<< "${text}"
    words=("${words[@]:1}")
    [[ "${text}" == *[[:space:]] || ${#words[@]} -eq 0 ]] && words+=("")
    cur="${words[${#words[@]}-1]}"
    COMPREPLY=()
    local strip=""
    case "${cur}" in *[=:]*) strip="${cur%"${cur##*[=:]}"}" ;; esac
    while IFS=$'\t' read -r line _; do
        [[ -n "${line}" ]] && COMPREPLY+=("${line#"${strip}"}")
    done < <(command neo-cli __complete "${words[@]}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *[={] ]]; then compopt -o nospace 2>/dev/null; fi
    if [[ ${#COMPREPLY[@]} -eq 0 ]]; then compopt -o default 2>/dev/null; fi
}
complete -F _neo_cli neo-cli
"""

ZSH = r"""#compdef neo-cli
# neo-cli completion for zsh. Put into ~/.zshrc, after compinit:  eval "$(neo-cli completion zsh)"
_neo_cli() {
    local -a found open
    local value text
    while IFS=$'\t' read -r value text; do
        case "${value}" in
            '') ;;
            *[=\{]) open+=("${value//:/\\:}:${text}") ;;
            *) found+=("${value//:/\\:}:${text}") ;;
        esac
    done < <(command neo-cli __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    (( ${#found} + ${#open} )) || { _files; return }
    (( ${#found} )) && _describe 'neo-cli' found
    (( ${#open} )) && _describe 'neo-cli' open -S ''
}
compdef _neo_cli neo-cli
"""

FISH = r"""# neo-cli completion for fish. Put into ~/.config/fish/config.fish:  neo-cli completion fish | source
function __neo_cli_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    command neo-cli __complete $words[2..-1] "$current" 2>/dev/null
end
complete -c neo-cli -a '(__neo_cli_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SCRIPTS)))
@click.pass_obj
def command(context: Context, shell: str) -> None:
    """Print the completion script of a shell (ours, not AWS's).

    Completes commands, options, values, shorthand keys and the names of this machine's jobs.

    \b
    Examples:
      eval "$(neo-cli completion bash)"    # in ~/.bashrc
      eval "$(neo-cli completion zsh)"     # in ~/.zshrc, after compinit
      neo-cli completion fish | source     # in ~/.config/fish/config.fish
    """
    context.stdout.write(SCRIPTS[shell])
