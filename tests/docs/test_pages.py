"""The pages are true: links resolve, commands exist and know their flags, the three READMEs hold the same."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from reason.cli import COMMANDS
from tests.fakes import ROOT

README = ROOT / "README.md"
TRANSLATIONS = ("README_zh.md", "README_ja.md")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "reason/llm_service/models/README.md"])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FLAG = re.compile(r"(?<![\w-])--[A-Za-z][\w-]*")
COMMAND = re.compile(r"(?:openr|python|sh|bash|torchrun) ")
named = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(text: str, *languages: str) -> list[str]:
    """The code blocks of these languages, of all without one."""
    return [body for language, body in BLOCK.findall(text) if not languages or language in languages]


def prose(text: str) -> str:
    """A page without its code blocks."""
    return BLOCK.sub("", text)


def inline(text: str) -> list[str]:
    """What stands between backticks outside of blocks, line breaks as spaces."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(text))]


def anchors(page: Path) -> set[str]:
    """The ids that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def table_figures(text: str) -> list[list[str]]:
    """The numbers of each row of a table, in order."""
    return [re.findall(r"[+-]?\d[\d,.]*", row) for row in prose(text).splitlines() if row.startswith("|")]


def targets(text: str) -> set[str]:
    """Where the links go, other than to a README or into the page itself."""
    return {link for link in LINK.findall(text) if not link.startswith(("README", "#"))}


@pytest.mark.parametrize("translation", TRANSLATIONS)
def test_a_translation_holds_what_the_readme_holds(translation):
    text, other = README.read_text("utf-8"), (ROOT / translation).read_text("utf-8")
    assert blocks(other) == blocks(text)
    assert table_figures(other) == table_figures(text)
    assert targets(other) == targets(text)
    assert len(re.findall("^## ", other, re.MULTILINE)) == len(re.findall("^## ", text, re.MULTILINE))
    for paths in (inline(text), inline(other)):
        assert all((ROOT / path).exists() for path in paths if path.endswith("/"))


def test_the_readme_is_short():
    assert len(README.read_text("utf-8").splitlines()) <= 170


@named
def test_links_resolve(page: Path):
    for link in LINK.findall(prose(page.read_text("utf-8"))):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = page if not path else (page.parent / path).resolve()
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def commands(page: Path) -> Iterator[str]:
    """The commands of a page, each on one line: of its shell blocks, and between backticks."""
    text = page.read_text("utf-8")
    for block in blocks(text, "sh", "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            yield from filter(None, (part.strip() for part in line.split(" -- ")))  # a command that runs another
    yield from (code for code in inline(text) if COMMAND.match(code))


def split(command: str) -> tuple[list[str], list[str]]:
    """The variables that are set before a command, and its words without comment."""
    words = shlex.split(command, comments=True)
    variables = []
    while words and re.match(r"\w+=", words[0]):
        variables.append(words.pop(0).partition("=")[0])
    return variables, words


@cache
def flags(*program: str) -> frozenset[str]:
    """The flags that a program's help names."""
    done = subprocess.run([sys.executable, *program, "--help"], capture_output=True, text=True, cwd=ROOT, timeout=240)
    assert done.returncode == 0, (program, done.stderr)
    return frozenset(FLAG.findall(done.stdout))


def known(program: list[str], words: list[str]) -> frozenset[str]:
    """The flags of a program, those of the sub-command that `words` begin with included."""
    of_program = flags(*program)
    if words and words[0] in ("show", "check", "regrade", "processbench", "prm800k", "best_of_n", "arithmetic"):
        return of_program | flags(*program, words[0])
    return of_program


def script_flags(script: str) -> frozenset[str]:
    """The flags of the Python program that a shell script hands its arguments to."""
    text = (ROOT / script).read_text("utf-8")
    program = re.search(r"^ *(?:exec )?\S*PYTHON\S* (?:\S+ )?(?:(\w+(?:/\w+)+\.py)|-m ([\w.]+))", text, re.MULTILINE)
    if '"$@"' not in text or program is None:
        return frozenset()
    return flags(program[1]) if program[1] else flags("-m", program[2])


def settings(script: str) -> str:
    """Where a script's variables may be read: in itself, and in what serves, under their names in small letters too."""
    served = "".join(path.read_text("utf-8").upper() for path in sorted((ROOT / "reason/llm_service").glob("*.*")))
    shared = (ROOT / "scripts/setup_env.sh").read_text("utf-8")
    return (ROOT / script).read_text("utf-8") + served + shared


@pytest.mark.slow
@named
def test_commands_exist_and_know_their_flags(page: Path):
    for command in commands(page):
        variables, words = split(command)
        if not words:
            continue
        program, rest = words[0], words[1:]
        if program == "torchrun":
            at = next(i for i, word in enumerate(rest) if word == "-m" or word.endswith(".py"))
            program, rest = "python", rest[at:]
        given = {flag for word in rest for flag in FLAG.findall(word.partition("=")[0]) if word.startswith("--")}
        if program == "pip":
            continue
        if program == "openr":
            name = next((name for name in (" ".join(rest[:2]), *rest[:1]) if name in COMMANDS), "")
            assert name or not rest or rest[0] in ("--help", "--version", "COMMAND") or "train" in rest, command
            if not name:
                continue
            assert given <= known(["-m", "reason.cli", *name.split()], rest[len(name.split()) :]), command
        elif program in ("sh", "bash"):
            assert (ROOT / rest[0]).is_file(), command
            assert not (missing := [name for name in variables if name not in settings(rest[0])]), (command, missing)
            assert given <= script_flags(rest[0]), command
        else:
            assert program == "python", command
            module = ["-m", rest[1]] if rest[0] == "-m" else [rest[0]]
            words = rest[len(module) :]
            if module[-1] == "reason.llm_service.workers.vllm_worker":  # its help lists vLLM's own flags: it needs vLLM
                module = ["-m", "reason.llm_service.workers.model_worker"]
                given -= {"--num-gpus", "--pipeline-parallel-size"}
            if module[0] != "-m" and module[0].startswith("docs/"):
                assert (ROOT / module[0]).is_file(), command
                continue
            assert given <= known(module, words), command


@named
def test_python_is_python(page: Path):
    for block in blocks(page.read_text("utf-8"), "python"):
        compile(block, str(page), "exec")


@pytest.mark.slow
def test_the_readmes_python_prints_what_stands_below_it():
    text = README.read_text("utf-8")
    (code,) = blocks(text, "python")
    shown = text.partition(code)[2].partition("```\n")[2].partition("```\n")[2].partition("```")[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == shown.splitlines()[0]
    steps = [re.findall(r"\d+ [-+*] \d+ = .+?(?=  |$)", lines, re.MULTILINE) for lines in (shown, done.stdout)]
    assert steps[0] == steps[1] != []
