"""Options that are declared once."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from reason.common.command import Parser
from reason.common.errors import UserError
from reason.common.options import add_options, build, check, given_options, option, settled_options


@dataclass(frozen=True)
class Some:
    temperature: float = option(0.2, "of 100 % of it", metavar="T", above=0)
    prior: str = option("count", "what it is", choices=("count", "logprob"))
    n: int | None = option(None, "how many", least=1)
    share: float = option(1.0, "a share", least=0, most=1)
    few: bool = option(False, "whether", flag="is_few")
    top: int = option(4, "at most", usual="the task's")

    def __post_init__(self) -> None:
        check(self)


def parse(*words):
    p = Parser(prog="x.py")
    add_options(p, Some, note="some: ")
    return p, build(Some, given_options(p.parse_args(words), Some), "some")


def test_flags_and_help_follow_from_the_fields(capsys):
    p, options = parse("--temperature", "1", "--is_few", "True", "--n", "3")
    assert options == Some(temperature=1.0, n=3, few=True)
    text = " ".join(p.format_help().split())
    assert "--temperature T some: of 100 % of it; default 0.2" in text
    assert "--prior count|logprob" in text
    assert "--top TOP some: at most; default: the task's" in text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0}, "temperature must be above 0, not 0"),
        ({"temperature": float("nan")}, "temperature must be above 0, not nan"),
        ({"temperature": "hot"}, "temperature must be a number, not 'hot'"),
        ({"n": 0}, "n must be at least 1, not 0"),
        ({"n": 1.5}, "n must be a whole number, not 1.5"),
        ({"n": True}, "n must be a whole number, not True"),
        ({"share": 2}, "share must be at most 1, not 2"),
        ({"prior": "x"}, "prior must be count or logprob, not 'x'"),
        ({"tempreature": 1}, "no option of some 'tempreature', did you mean 'temperature'?"),
    ],
)
def test_a_wrong_value_is_one_line(values, message):
    with pytest.raises(UserError) as caught:
        build(Some, values, "some")
    assert str(caught.value).startswith(message)


@dataclass(frozen=True)
class Loop:
    rows: tuple[str, ...] = option((), "files", metavar="FILE")
    layers: tuple[str, ...] = option(("q", "v"), "names")
    rate: float = option(1e-4, "its peak", least=0, below=1)
    fast: bool = option(False, "whether", switch=True)
    weight: float | str = option(1.0, "a number, or `balanced`", reads=lambda text: text.upper())
    path: Path | None = option(None, "a folder")

    def __post_init__(self) -> None:
        check(self)


def looped(*words, **more):
    p = Parser(prog="x.py")
    add_options(p, Loop, settled=True, **more)
    return p, settled_options(p.parse_args(words), Loop)


def test_settled_options_have_their_defaults_in_the_parser():
    p, usual = looped()
    assert usual == Loop()
    assert vars(p.parse_args([]))["layers"] == ["q", "v"] and vars(p.parse_args([]))["fast"] is False
    _, given = looped("--rows", "a", "b", "--fast", "--weight", "x", "--path", "here")
    assert given == Loop(rows=("a", "b"), fast=True, weight="X", path=Path("here"))


def test_a_command_may_have_defaults_of_its_own():
    p, options = looped(changed={"rate": 0.5, "layers": ("o",)})
    assert options == Loop(rate=0.5, layers=("o",))
    text = " ".join(p.format_help().split())
    assert "its peak; default 0.5" in text and "names; default o" in text and "whether --" in text


def test_bounds_of_settled_options_are_checked():
    with pytest.raises(UserError, match=r"rate must be below 1, not 1\.0"):
        looped("--rate", "1")
