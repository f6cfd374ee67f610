"""Scoring the steps of tree search: the reward worker's prefix cache against reading every prefix again.
`python scripts/bench/prm_scoring.py`

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
import json
import logging
import os
import platform
import random
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

import torch  # noqa: E402

from prm.scoring.batcher import Batcher  # noqa: E402
from prm.scoring.layout import LayoutError  # noqa: E402
from prm.scoring.scorer import ScoreError, Scorer  # noqa: E402
from reason.common.errors import UserError  # noqa: E402
from reason.engine.memory import keep_freed_memory  # noqa: E402
from reason.engine.packed_linear import pack_linears  # noqa: E402
from reason.model_cards import card as cards  # noqa: E402

WIDTH = BEAM = 4
Row = dict[str, Any]
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
    try:
        scorer = Scorer.load(args.model, cards.find(args.model, "prm", args.card), args.device, args.batch_tokens)
        pack_linears(scorer.model.base_model)  # as the worker does
        rows = measure_all(scorer, args)
    except (UserError, LayoutError, ScoreError, OSError, ValueError) as error:
        print(f"prm_scoring.py: {error}", file=sys.stderr)
        return 2
    if args.json:
        machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
        machine |= {"threads": args.threads, "device": args.device, "torch": torch.__version__}
        if args.device != "cpu":
            machine["gpu"] = torch.cuda.get_device_name()
        args.json.write_text(json.dumps({"bench": "prm_scoring", "machine": machine, "rows": rows}, indent=2) + "\n")
    return 0


def measure_all(scorer: Scorer, args: argparse.Namespace) -> list[Row]:
    """The table's rows, printed as they come."""
    rows: list[Row] = []

    def add(row: Row) -> None:
        row |= {"speedup": row["steps_per_second"] / rows[0]["steps_per_second"] if rows else 1.0}
        row |= {"size": Path(args.model).name, "depth": args.depth}
        rows.append(row)
        if len(rows) == 1:
            print("  ".join(f"{name:>16}" for name in row))
        print("  ".join(f"{v:>16.4g}" if isinstance(v, float) else f"{v!s:>16}" for v in row.values()), flush=True)

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
    return rows


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
