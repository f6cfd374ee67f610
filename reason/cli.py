"""The one command: `openr COMMAND ...`. Each is the `main` of the module that the shell scripts call too.

A command's module is imported when it is chosen and not before, so that help and completion answer at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import reason
from reason.common.command import called
from reason.common.errors import unknown

COMMANDS: dict[str, tuple[str, str]] = {  # what is typed -> (module:function, a line of help)
    "solve": ("reason.solve.command:main", "solve questions here, without services: answer, votes, cost"),
    "eval": ("reason.evaluation.evaluate:main", "evaluate a search method on a task"),
    "serve": ("reason.llm_service.serve:main", "start models as services and watch them, or stop them"),
    "report": ("reason.evaluation.report:main", "accuracy against budget, tokens and seconds of finished runs"),
    "compare": ("reason.evaluation.compare:main", "finished runs side by side, with paired differences"),
    "label": ("data.omegaprm.run_omegaprm:main", "label the steps of a policy's solutions by tree search (OmegaPRM)"),
    "train policy": ("train.mat.train_llm:main", "reinforcement learning of a policy LM"),
    "train prm": ("prm.code.finetune:main", "fine-tune a process reward model"),
    "train judge": ("prm.generative.finetune:main", "fine-tune a generative judge"),
    "grade": ("envs.grading.__main__:main", "grade a file of answers"),
    "regrade": ("reason.evaluation.regrade:main", "grade a finished run again, and show which verdicts changed"),
    "bench": ("prm.evaluate:main", "judge a PRM: ProcessBench, labelled steps, best-of-N, arithmetic"),
    "cards": ("reason.model_cards.__main__:main", "the model cards there are, one of them, or a model folder's"),
}
GROUPS = {"train": "train a policy, a PRM or a judge"}
DESCRIPTION = "Search, process rewards and reinforcement learning for LLM reasoning."
COMPLETION = 'Completion in bash or zsh: eval "$(register-python-argcomplete openr)"'


def listed(group: str) -> dict[str, str]:
    """The words that may follow `openr`, or `openr GROUP`, each with its line of help."""
    names = [name for name in COMMANDS if name.rpartition(" ")[0] == group]
    lines = {name.rpartition(" ")[2]: COMMANDS[name][1] for name in names}
    return lines if group else lines | GROUPS


def parser(group: str) -> argparse.ArgumentParser:
    """What `listed` holds, for help and completion; each command parses its own arguments."""
    p = argparse.ArgumentParser(prog=f"openr {group}".strip(), description=GROUPS.get(group, DESCRIPTION))
    commands = p.add_subparsers(title="commands", metavar="COMMAND")
    for word, text in listed(group).items():
        commands.add_parser(word, help=text, add_help=False)
    if not group:
        p.add_argument("--version", action="version", version=f"openr {reason.__version__}")
        p.epilog = f"`openr COMMAND --help` says more. {COMPLETION}"
    return p


def chosen(words: Sequence[str]) -> tuple[str, str]:
    """The command that these words begin with, and the group; empty where they begin with none."""
    command = next((name for name in (" ".join(words[:2]), *words[:1]) if name in COMMANDS), "")
    return command, words[0] if words and words[0] in GROUPS else ""


def complete() -> NoReturn:
    """Answer a shell that asks what may follow: what is listed, or what the chosen command's own parser knows."""
    import argcomplete
    from argcomplete.lexers import split_line

    words = split_line(os.environ["COMP_LINE"], int(os.environ["COMP_POINT"]))[3]
    command, group = chosen(words[1:])
    os.environ["_ARGCOMPLETE"] = str(1 + len((command or group).split()))  # words that are no argument
    if command:
        run(command, [])
    argcomplete.autocomplete(parser(group))
    raise AssertionError("a parser that is asked for completions ends the process")


def run(command: str, arguments: list[str]) -> int:
    """One of COMMANDS; returns its exit status."""
    module, _, function = COMMANDS[command][0].partition(":")
    with called(f"openr {command}"):
        return int(getattr(importlib.import_module(module), function)(arguments))


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    if "_ARGCOMPLETE" in os.environ:
        complete()
    words = list(sys.argv[1:] if arguments is None else arguments)
    command, group = chosen(words)
    if command:
        return run(command, words[len(command.split()) :])
    rest = words[1:] if group else words
    if not rest:
        parser(group).print_help(sys.stderr)
        return 2
    if rest[0].startswith("-"):
        parser(group).parse_args(rest[:1])
    print(f"{parser(group).prog}: {unknown('command', rest[0], listed(group))}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
