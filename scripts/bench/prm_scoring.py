"""Scoring the steps of tree search: the reward worker's prefix cache against reading every prefix again.
`python -m scripts.bench.prm_scoring`

Beam searches (4 beams of 4 children, steps of about 22 tokens, 13 deep) of many questions at once, on trees of made-up
arithmetic steps, so that no policy is needed; which beams are kept is drawn, so that all rows score the same trees. A
node's children are one request, through the batcher that the reward worker runs. Rows:

- `one by one`: the reference, each child's whole text by itself, one after the other (a sample of the same children);
- `batched`: whole texts, in the batcher (an eighth of the questions);
- `prefix cache`: the batcher with the cache.

tokens_ratio = tokens that went through the PRM / tokens generated (those of the steps, as a policy writes them).
speedup = steps scored a second / those of `one by one`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import time
from pathlib import Path
from typing import Any

import torch

from prm.scoring.batcher import Batcher
from prm.scoring.layout import LayoutError
from prm.scoring.scorer import ScoreError, Scorer
from reason.common.command import run_command
from reason.common.errors import UserError
from reason.engine.memory import keep_freed_memory
from reason.engine.packed_linear import pack_linears
from reason.model_cards import card as cards
from scripts.bench.frame import Row, Rows, bench_rows
from scripts.bench.own_process import ROOT

WIDTH = BEAM = 4
Child = tuple[str, list[str]]  # a question and the steps of one of its paths


def main() -> int:
    """The command; returns its exit status."""
    p = argparse.ArgumentParser(prog="prm_scoring.py", description="Measure the scoring of tree search.")
    p.add_argument("--model", default=str(ROOT / "reason/llm_service/models/openr-tiny-prm"), help="the PRM's folder")
    p.add_argument("--card", help="name or path of its card; default: the model's own")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--threads", type=int, default=1, help="CPU threads; default %(default)s")
    p.add_argument("--questions", type=int, default=32, help="searched at once; default %(default)s")
    p.add_argument("--depth", type=int, default=13, help="steps of a path; default %(default)s")
    p.add_argument("--sample", type=int, default=512, help="children scored one by one; default %(default)s")
    p.add_argument("--batch-tokens", type=int, help="padded tokens of a batch; default by device")
    p.add_argument("--cache-mb", type=int, default=1024, help="memory of the prefix cache; default %(default)s")
    p.add_argument("--quick", action="store_true", help="8 questions, a sample of 96, within a minute")
    p.add_argument("--json", type=Path, metavar="FILE")
    args = p.parse_args()
    if args.quick:
        args.questions, args.sample = min(args.questions, 8), min(args.sample, 96)
    torch.set_num_threads(args.threads)
    keep_freed_memory()  # as the worker does, for all rows
    logging.disable(logging.WARNING)  # the self-test's word on the model is not the matter here
    more = {"threads": args.threads, "device": args.device, "torch": torch.__version__}
    if args.device != "cpu":
        more["gpu"] = torch.cuda.get_device_name()
    return run_command(p.prog, lambda: bench(args, more))


def bench(args: argparse.Namespace, more: dict[str, Any]) -> None:
    """Load the PRM as the worker does, and measure. Raises UserError for a model that cannot be measured."""
    try:
        scorer = Scorer.load(args.model, cards.find(args.model, "prm", args.card), args.device, args.batch_tokens)
        pack_linears(scorer.model.base_model)  # as the worker does
    except (LayoutError, ScoreError, OSError, ValueError) as error:
        raise UserError(f"{args.model}: {error}") from None
    with bench_rows("prm_scoring", args.json, 16, **more) as rows:
        measure_all(scorer, args, rows)


def measure_all(scorer: Scorer, args: argparse.Namespace, rows: Rows) -> None:
    """The table's rows."""

    def add(row: Row) -> None:
        row |= {"speedup": row["steps_per_second"] / rows[0]["steps_per_second"] if rows else 1.0}
        row |= {"size": Path(args.model).name, "depth": args.depth}
        rows.add(row)

    some = max(1, args.questions // 8)  # reading everything again takes so much longer
    asyncio.run(search_all("warm-up", scorer, 1, 4, seed=1))
    batched, children = asyncio.run(search_all("batched", scorer, some, args.depth, seed=0))
    add(one_by_one(scorer, random.Random(0).sample(children, min(args.sample, len(children)))))
    add(batched)
    scorer.keep_prefixes(args.cache_mb << 20)
    if scorer.cache is None:
        raise ScoreError("the prefixes of this model cannot be kept")
    asyncio.run(search_all("warm-up", scorer, 1, 4, seed=1))
    add(asyncio.run(search_all("prefix cache", scorer, args.questions, args.depth, seed=0))[0])


def one_by_one(scorer: Scorer, children: list[Child]) -> Row:
    """The reference's row."""
    started = time.perf_counter()
    for child in children:
        scorer.score([child])
    seconds = time.perf_counter() - started
    computed = sum(len(scorer.layouter.lay_out(*child).tokens) for child in children)
    return figures("one by one", len(children), seconds, sum(generated(scorer, child) for child in children), computed)


async def search_all(method: str, scorer: Scorer, questions: int, depth: int, seed: int) -> tuple[Row, list[Child]]:
    """Search all questions at once; the figures, and every child that was scored."""
    batcher = Batcher(scorer)
    children: list[Child] = []
    computed = 0

    async def expand(question: str, steps: list[str], width: int, rng: random.Random) -> list[list[str]]:
        nonlocal computed
        paths = [[*steps, made_up_step(rng)] for _ in range(width)]
        result = await batcher.run([scorer.layouter.lay_out(question, path) for path in paths])
        result.all_scores()
        computed += result.computed
        children.extend((question, path) for path in paths)
        return paths

    async def search(number: int) -> None:
        rng = random.Random(f"{seed} {number}")
        question = f"{number} + " + made_up_step(rng).partition("; ")[2].strip()
        paths = await expand(question, [], WIDTH * BEAM, rng)
        for _ in range(depth - 1):
            grown = [expand(question, steps, WIDTH, rng) for steps in rng.sample(paths, BEAM)]
            paths = [path for group in await asyncio.gather(*grown) for path in group]

    started = time.perf_counter()
    await asyncio.gather(*(search(number) for number in range(questions)))
    seconds = time.perf_counter() - started
    batcher.close()
    tokens = sum(generated(scorer, child) for child in children)
    return figures(method, len(children), seconds, tokens, computed), children


def made_up_step(rng: random.Random) -> str:
    """One line as the embedded policy writes them: a reduction, and what is left to do."""
    a, b, c, d = (rng.randrange(10, 100) for _ in range(4))
    return f"{a} + {b} = {a + b}; {a + b} * {rng.randrange(2, 10)} - {c} + {d}\n"


def generated(scorer: Scorer, child: Child) -> int:
    """Tokens of a child's own step."""
    return len(scorer.tokenizer.encode(child[1][-1], add_special_tokens=False))


def figures(method: str, steps: int, seconds: float, tokens: int, computed: int) -> Row:
    """What a row says of a run that scored `steps` children of `tokens` tokens."""
    return {
        "method": method,
        "tokens_ratio": computed / tokens,
        "steps_per_second": steps / seconds,
        "steps": steps,
        "seconds": seconds,
        "generated_tokens": tokens,
        "computed_tokens": computed,
    }


if __name__ == "__main__":
    sys.exit(main())
