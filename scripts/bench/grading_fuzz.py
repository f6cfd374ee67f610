"""Mutated answers against the grader. `python -m scripts.bench.grading_fuzz [--count 20000] [--seed 0] [--golds FILE]`

Half of the mutations keep the meaning (spacing, delimiters, fonts, LaTeX synonyms, Unicode, separators): the verdict
must stay "equal". The others break the text in any way, up to bombs and binary: there must be an answer in time and no
exception. FILE is a JSONL file with an `answer` field in each row; without it the golds of the tests' cases are used.
"""

from __future__ import annotations

import argparse
import random
import re
import runpy
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

from envs.grading import GradingPool, without_pool
from reason.common.command import run_command
from reason.common.errors import UserError
from reason.common.rows import BadRow, checked_rows, text_of
from scripts.bench.frame import bench_rows
from scripts.bench.own_process import ROOT

SLACK = 0.5  # seconds above the limit that an answer may take
IN_FLIGHT = 4
SHOWN = 30

Mutation = Callable[[str, random.Random], str]


def at_boundary(text: str, rng: random.Random, inserted: str) -> str:
    """Insert between an operator, bracket or comma and its neighbour: never inside a number, a word or a command."""
    places = [m.end() for m in re.finditer(r"(?<!\\)[-+=<>(\[|](?=[^ ])|(?<![\\\d ])(?=[)\]|+=<>])", text)]
    if not places or "\\text" in text or "begin" in text:
        return text
    at = rng.choice(places)
    return text[:at] + inserted + text[at:]


def grouped(text: str, separator: str) -> str:
    """Thousands separators in a plain integer of at least four digits."""
    return f"{int(text):,}".replace(",", separator) if re.fullmatch(r"[1-9]\d{3,11}", text) else text


def reversed_set(text: str, rng: random.Random) -> str:
    """The elements of a plain set or list the other way round."""
    match = re.fullmatch(r"(\\\{)?([-\d\s,/]+)(\\\})?", text)
    if match is None or "," not in text or re.search(r"\d,\d{3}", text):
        return text
    items = [item.strip() for item in match.group(2).split(",")]
    return (match.group(1) or "") + ", ".join(reversed(items)) + (match.group(3) or "")


KEEPING: dict[str, Mutation] = {
    "space": lambda t, r: at_boundary(t, r, r.choice([" ", "  ", "\n", "\t", "\u00a0", "\u2009"])),
    "latex space": lambda t, r: at_boundary(t, r, r.choice(["\\,", "\\;", "\\!", "\\: ", "\\ ", "~"])),
    "invisible": lambda t, r: at_boundary(t, r, r.choice(["\u200b", "\ufeff", "\u202a", "\u2060", "\u200e"])),
    "around": lambda t, r: (
        r.choice(["$%s$", "\\(%s\\)", "\\[%s\\]", "$$%s$$", " %s ", "%s.", "$%s.$", "\\boxed{%s}", "{%s}"]) % t
    ),
    "display": lambda t, r: "\\displaystyle " + t,
    "frac": lambda t, r: re.sub(r"\\[dt]?frac(?![a-z])", lambda m: r.choice([r"\frac", r"\dfrac", r"\tfrac"]), t),
    "left right": lambda t, r: re.sub(r"(?<![\\\]\[(])\(([^()\[\]]*)\)", r"\\left(\1\\right)", t, count=1),
    "cdot": lambda t, r: re.sub(r"(?<=\d)\\(pi|sqrt)(?![a-z])", r"\\cdot \\\1", t, count=1),
    "minus": lambda t, r: t if "\\text" in t else t.replace("-", "\u2212"),
    "pi": lambda t, r: t.replace("\\pi", "\u03c0"),
    "infinity": lambda t, r: t.replace("\\infty", "\u221e"),
    "signs": lambda t, r: t.replace("\\le ", "\u2264").replace("\\cup", "\u222a").replace("\\pm", "\u00b1"),
    "degree": lambda t, r: t.replace("^\\circ", "\u00b0"),
    "wide digits": lambda t, r: t if "\\" in t else re.sub(r"\d", lambda m: chr(0xFF10 + int(m.group())), t),
    "thousands": lambda t, r: grouped(t, r.choice([",", "{,}", "\\,", ",\\!", "\\ "])),
    "order": reversed_set,
    "zero": lambda t, r: f"{t}.0" if re.fullmatch(r"-?\d+", t) else t,
    "plus": lambda t, r: f"+{t}" if re.fullmatch(r"[1-9]\d*", t) else t,
    "braces": lambda t, r: re.sub(r"\^(\d)(?!\d)", r"^{\1}", t),
    "text": lambda t, r: re.sub(
        r"\\text(?![a-z])", lambda m: r.choice([r"\mbox", r"\textrm", r"\mathrm", r"\textbf"]), t
    ),
    "name": lambda t, r: f"x = {t}" if re.fullmatch(r"-?\d+|\\frac\{\d+\}\{\d+\}", t) else t,
    "double escape": lambda t, r: t if "begin" in t else re.sub(r"\\(?=[a-zA-Z])", r"\\\\", t),
}

_ALPHABET = "0123456789+-*/^_=<>(){}[]|\\,.;:!%$&'\" abcxyzABC\n\x00\u202e\u200b\u0301\U0001d7d8√∞²½−£中\ud800"
BOMBS = [
    "9^{9^{9^{9}}}",
    "10^{10^{10}}",
    "(((10!)!)!)!",
    "\\binom{10^9}{5\\cdot 10^8}",
    "\\sum_{k=1}^{10^{12}} k^k",
    "(" * 4000,
    "{" * 4000 + "}" * 4000,
    "\\frac{1}{" * 300 + "2" + "}" * 300,
    "\\sqrt{" * 200 + "2" + "}" * 200,
    "9" * 50_000,
    "1" * 4000,
    "x^" * 1500 + "2",
    "-" * 4000 + "1",
    "2^{-10^{30}}",
    "1/0",
    "0^0",
    "0^{-1}",
    "\\int_0^1 \\frac{1}{x} dx",
    "\\tan(10^{50})",
    "\\sum_{n=1}^{\\infty} \\frac{1}{n}",
    "\\prod_{k=1}^{900} (k!)",
    "__import__('os').system('true')",
    "1e999999999",
    "|" * 999,
    "\\begin{pmatrix}" + "1 & " * 2000 + "1\\end{pmatrix}",
    "a" * 60_000,
    ",".join(map(str, range(900))),
    "\\lim_{x\\to 0} \\sin(1/x)",
    "e^{e^{e^{e^{9}}}}",
    "\\log(\\log(\\log(2)))",
    "1000000!",
    "\\{" * 900,
    "((x+1)^{99}+y)^{99}",
    "\\gcd(10^{5000}, 3^{9999})",
    "\\begin{cases}" * 200,
    "\\text{" * 500,
    "1:" * 700 + "1",
    "\\pm" * 60 + "1",
    "5!" * 300,
    "0.(" + "3" * 3000 + ")",
    "\\\\" * 3000,
]


def cut(text: str, rng: random.Random) -> str:
    """Without a random part."""
    start = rng.randrange(len(text) + 1)
    return text[:start] + text[start + rng.randrange(1, 6) :]


def inserted(text: str, rng: random.Random) -> str:
    """With random characters at a random place."""
    at = rng.randrange(len(text) + 1)
    return text[:at] + "".join(rng.choice(_ALPHABET) for _ in range(rng.randrange(1, 6))) + text[at:]


BREAKING: dict[str, Mutation] = {
    "cut": cut,
    "inserted": inserted,
    "several": lambda t, r: inserted(cut(inserted(t, r), r), r),
    "repeated": lambda t, r: (t or "1") * r.choice([2, 3, 50, 2000]),
    "nested": lambda t, r: r.choice(
        ["(%s)", "{%s}", "\\sqrt{%s}", "\\frac{%s}{%s}", "%s^{%s}", "(%s)!", "|%s|"]
    ).replace("%s", t),
    "tower": lambda t, r: "^".join(f"{{{t}}}" for _ in range(r.randrange(2, 6))),
    "shuffled": lambda t, r: "".join(r.sample(t, len(t))),
    "noise": lambda t, r: "".join(r.choice(_ALPHABET) for _ in range(r.randrange(1, 80))),
    "bomb": lambda t, r: r.choice(BOMBS),
    "bombed": lambda t, r: r.choice(["%s + %s", "\\frac{%s}{%s}", "(%s, %s)"]) % (t, r.choice(BOMBS)),
    "binary": lambda t, r: bytes(r.randrange(256) for _ in range(60)).decode("latin-1"),
}


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="grading_fuzz.py", description="Fuzz the grader with mutated answers.")
    parser.add_argument("--count", type=int, default=20_000, help="mutated answers (default 20000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--golds", type=Path, help="JSONL file with an answer field in each row")
    parser.add_argument("--quick", action="store_true", help="1000 mutated answers")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    args = parser.parse_args()
    return run_command(parser.prog, lambda: bench(args))


def bench(args: argparse.Namespace) -> None:
    """Fuzz the grader. Raises UserError, PoolError."""
    with bench_rows("grading_fuzz", args.json, 16) as rows:
        rows.add(fuzz(read_golds(args.golds), 1000 if args.quick else args.count, args.seed))


def read_golds(path: Path | None) -> list[str]:
    """Distinct golds. Raises UserError."""
    if path is not None:
        golds = set()
        for place, row in checked_rows(path):
            try:
                golds.add(text_of(row, "answer"))
            except BadRow as error:
                raise UserError(f"{place}: {error}") from None
        return sorted(golds)
    cases = runpy.run_path(str(ROOT / "tests" / "envs" / "grading" / "cases.py"))
    return sorted({gold for pairs in cases["EQUAL"].values() for gold, _ in pairs})


def fuzz(golds: list[str], count: int, seed: int) -> dict[str, Any]:
    """Grade `count` mutations; returns the one row of the bench."""
    rng = random.Random(seed)
    pool = GradingPool(processes=1)
    totals: Counter[str] = Counter()
    lost: list[str] = []
    slowest = 0.0
    running: dict[Future[dict[str, Any]], tuple[str, str, str, float]] = {}

    def finish(future: Future[dict[str, Any]]) -> None:
        nonlocal slowest
        name, gold, answer, started = running.pop(future)
        seconds = time.perf_counter() - started
        note(name, gold, answer, future.result(), seconds)

    def note(name: str, gold: str, answer: str, reply: dict[str, Any], seconds: float) -> None:
        nonlocal slowest
        slowest = max(slowest, seconds)
        totals["exceptions"] += reply["path"] == "error"
        totals["hangs"] += seconds > pool.limit + SLACK
        totals["undecided"] += reply["equal"] is None
        if reply["path"] == "error" or "killed" in reply["reason"] or seconds > pool.limit + SLACK:
            print(f"{name}: {gold!r} {answer[:200]!r}: {reply} after {seconds:.2f} s")
        if name in KEEPING:
            totals["keeping"] += 1
            totals["kept"] += reply["equal"] is True
            if reply["equal"] is not True:
                lost.append(f"{name}: {gold!r} against {answer[:100]!r}: {reply['reason']}")

    try:
        pool.warm_up()
        for index in range(count):
            gold = rng.choice(golds)
            table = KEEPING if index % 2 else BREAKING
            name = rng.choice(list(table))
            answer = table[name](gold, rng)
            if name in KEEPING and rng.random() < 0.5:
                second = rng.choice(["around", "space", "minus"])
                answer = KEEPING[second](answer, rng)
            free = without_pool(gold, answer)
            if free is not None:
                note(name, gold, answer, {"equal": free.equal, "reason": free.reason, "path": free.path}, 0.0)
                continue
            while len(running) >= IN_FLIGHT:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    finish(future)
            running[pool.submit({"gold": gold, "answer": answer})] = (name, gold, answer, time.perf_counter())
        for future in list(running):
            finish(future)
    finally:
        pool.close()
    for line in lost[:SHOWN]:
        print("lost", line)
    return {
        "mutations": count,
        "hangs": totals["hangs"],
        "exceptions": totals["exceptions"],
        "killed": pool.killed,
        "undecided": totals["undecided"],
        "keeping": totals["keeping"],
        "kept": totals["kept"],
        "kept_share": round(totals["kept"] / max(1, totals["keeping"]), 4),
        "slowest_s": round(slowest, 3),
    }


if __name__ == "__main__":
    sys.exit(main())
