"""OmegaPRM on the embedded policy: speed, and quality against the oracle. `python -m scripts.bench.omegaprm`

One row a level of the arithmetic task, on the same running services:

- efficiency: seconds in which the engine draws the run's very rollouts (same prompts, seeds and sampling, all at once,
  nothing else done) / seconds of the run. The reference comes second, so a prefix cache helps it more than the run.
- first_error_accuracy: how often binary search's first error is the oracle's, on `paths` solutions taken at random of
  those drawn from the bare question (accuracy_all: on all that were searched); beside it `bound`, the mean chance that
  every point on the way to the true error is called rightly: a right prefix of value v with 1 - (1-v)^k, a wrong one
  of luck e with (1-e)^k; values from --value_rollouts fresh rollouts. accuracy_v20 is the accuracy where no right
  point on that way, nor the last right prefix, has a value below 0.2.
- auc: MC values c/k of labelled steps against prefix_ok, ties counting half; `ties`: share of the (right, wrong) pairs
  that are tied. auc_base: the same of `all_steps`, where every step of a solution has k rollouts of its own.
- labelled_steps_ratio: distinct labelled steps a rollout (estimated or inferred, on searched solutions; labels of right
  rollouts and graded last steps left out), divided by that of labelling every step of sampled solutions with k
  rollouts each (`all_steps`) at the same budget. `*_base` columns are the latter's.

Starts the services for the embedded models, or uses running ones with --controller_addr.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data.omegaprm.labeller import LABELLED, LabelSetup, label_all
from data.omegaprm.labels import ESTIMATED, INFERRED
from data.omegaprm.options import LabelOptions
from data.omegaprm.output import LabelRecord, flatten
from envs.base_env import DataOptions, Problem, first_error, load_task, split_steps
from reason.common.command import run_command, str2bool
from reason.common.seeds import draw_seed
from reason.inference import open_lm
from reason.inference.base import LanguageModel, ModelError, Sample, Sampling
from reason.inference.ledger import Ledger
from reason.inference.prompting import render
from reason.model_cards.card import LMCard
from scripts.bench.frame import Row, Rows, bench_rows
from scripts.bench.services import services

TASK = load_task("arithmetic")
Request = tuple[str | Sequence[int], Sampling, Sequence[int]]


@dataclass
class Recorder:
    """`lm`, with every request kept."""

    lm: LanguageModel
    requests: list[Request] = field(default_factory=list)

    @property
    def card(self) -> LMCard:
        """See `LanguageModel`."""
        return self.lm.card

    @property
    def details(self) -> Mapping[str, Any]:
        """See `LanguageModel`."""
        return self.lm.details

    async def logprobs_of(self, prompt: str, tokens: Sequence[str], ledger: Ledger) -> list[float]:
        """See `LanguageModel`."""
        return await self.lm.logprobs_of(prompt, tokens, ledger)

    async def close(self) -> None:
        """See `LanguageModel`."""
        await self.lm.close()

    async def generate(
        self, prompt: str | Sequence[int], sampling: Sampling, seeds: Sequence[int], ledger: Ledger
    ) -> list[Sample]:
        """See `LanguageModel.generate`."""
        self.requests.append((prompt, sampling, seeds))
        return await self.lm.generate(prompt, sampling, seeds, ledger)


def main() -> int:
    """The command; returns its exit status."""
    p = argparse.ArgumentParser(prog="omegaprm.py", description="Measure OmegaPRM on the arithmetic task.")
    p.add_argument("--controller_addr", help="use running services instead of starting some")
    p.add_argument("--LM", default="openr-tiny-policy")
    p.add_argument("--RM", default="openr-tiny-prm", help="served beside, not used; default %(default)s")
    p.add_argument("--levels", nargs="+", default=["8", "12", "16"])
    p.add_argument("--limit", type=int, default=50, help="questions a level; default %(default)s")
    p.add_argument("--num_rollouts", type=int, default=16, help="k; default %(default)s")
    p.add_argument("--rollout_budget", type=int, default=320, help="of a question; default %(default)s")
    p.add_argument("--paths", type=int, default=60, help="searched solutions to compare; default %(default)s")
    p.add_argument("--value_rollouts", type=int, default=256, help="a point, for the bound; default %(default)s")
    p.add_argument("--num_worker", type=int, default=256, help="questions in flight; default %(default)s")
    p.add_argument("--reuse_rollouts", type=str2bool, default=False, metavar="True|False")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--quick", action="store_true", help="4 questions of level 12, k = 8")
    p.add_argument("--json", type=Path, metavar="FILE")
    args = p.parse_args()
    if args.quick:
        args.levels, args.limit, args.paths, args.value_rollouts = ["12"], min(args.limit, 4), 3, 32
        args.num_rollouts, args.rollout_budget = 8, 48
    return run_command(p.prog, lambda: bench(args))


def bench(args: argparse.Namespace) -> None:
    """Measure with running services, or with such as are started for it."""
    with bench_rows("omegaprm", args.json, 20) as rows:
        if args.controller_addr:
            asyncio.run(measure_all(args, rows))
        else:
            with services("omegaprm", args.LM, args.RM) as args.controller_addr:
                asyncio.run(measure_all(args, rows))


async def measure_all(args: argparse.Namespace, rows: Rows) -> None:
    """One row a level."""
    async with open_lm(args.LM, controller_addr=args.controller_addr) as lm:
        warm_up = TASK.problems(DataOptions(split="train", limit=4, level="3", seed=args.seed))
        await asyncio.gather(*(draw(lm, problem, (), 8, args.seed) for problem in warm_up))
        for level in args.levels:
            row = await measure(args, lm, level)
            rows.add(row)


async def measure(args: argparse.Namespace, lm: LanguageModel, level: str) -> Row:
    """Run, reference, baseline and oracle comparison of one level."""
    problems = TASK.problems(DataOptions(split="dev", limit=args.limit, level=level, seed=args.seed))
    k, budget = args.num_rollouts, args.rollout_budget
    sampling: dict[str, Any] = {
        "temperature": lm.card.sampling.get("temperature", 1.0),
        "max_new_tokens": TASK.max_new_tokens,
    }
    options = LabelOptions(
        num_rollouts=k, rollout_budget=budget, seed=args.seed, reuse_rollouts=args.reuse_rollouts, **sampling
    )
    recorder = Recorder(lm)
    records, seconds = await run(recorder, args, problems, options)
    reference = await replay(lm, recorder.requests)
    base = replace(options, method="all_steps", num_solutions=budget, seed=args.seed + 1)
    base_records, _ = await run(lm, args, problems, base)
    ours, theirs = totals(records), totals(base_records)
    steps = ours[ESTIMATED] + ours[INFERRED]
    errors_found = [(r, path) for r in records for path in r["searched"] if path["first_error"] is not None]
    whole = [(r, path) for r, path in errors_found if path["start"] == 0]
    chosen = random.Random(args.seed).sample(whole, min(args.paths, len(whole)))
    measured = await asyncio.gather(*(bound(lm, r, path["steps"], k, args) for r, path in chosen))
    hits = [is_true(r, path) for r, path in chosen]
    clear = [hit for hit, (_, least) in zip(hits, measured) if least >= 0.2]
    auc, ties = area(*mc_values(records))
    auc_base, ties_base = area(*mc_values(base_records))
    return {
        "level": level,
        "efficiency": reference / seconds,
        "first_error_accuracy": mean(hits),
        "bound": mean([chance for chance, _ in measured]),
        "accuracy_v20": mean(clear),
        "auc": auc,
        "labelled_steps_ratio": ratio(steps * theirs["rollouts"], theirs[ESTIMATED] * ours["rollouts"]),
        "ties": ties,
        "auc_base": auc_base,
        "ties_base": ties_base,
        "paths": len(chosen),
        "paths_v20": len(clear),
        "accuracy_all": mean([is_true(r, path) for r, path in errors_found]),
        "paths_all": len(errors_found),
        "estimated": ours[ESTIMATED],
        "inferred": ours[INFERRED],
        "on_right_rollouts": ours["rollout"],
        "rollouts": ours["rollouts"],
        "estimated_base": theirs[ESTIMATED],
        "rollouts_base": theirs["rollouts"],
        "questions": len(problems),
        "useful": mean([r["status"] == LABELLED for r in records]),
        "k": k,
        "seconds": seconds,
        "seconds_reference": reference,
        "tokens_per_s": sum(r["ledger"]["generated_tokens"] for r in records) / seconds,
        "engine": lm.details.get("engine"),
    }


async def run(
    lm: LanguageModel, args: argparse.Namespace, problems: Sequence[Problem], options: LabelOptions
) -> tuple[list[LabelRecord], float]:
    """The records of all questions in their order, and the seconds it took. Raises ModelError when one failed."""
    grader, records = TASK.grader(), list[LabelRecord]()
    started = time.monotonic()
    setup = LabelSetup(TASK, lm, args.LM, grader, options)
    await label_all(setup, list(enumerate(problems)), args.num_worker, records.append)
    seconds = time.monotonic() - started
    await grader.close()
    failed = [r["error"] for r in records if r["error"]]
    if failed:
        raise ModelError(f"{len(failed)} questions failed, the first with {failed[0]['type']}: {failed[0]['message']}")
    return sorted(records, key=lambda r: r["index"]), seconds


async def replay(lm: LanguageModel, requests: Sequence[Request]) -> float:
    """Seconds for the same requests, all at once."""
    started = time.monotonic()
    await asyncio.gather(*(lm.generate(*request, Ledger()) for request in requests))
    return time.monotonic() - started


def totals(records: Sequence[LabelRecord]) -> Counter[str]:
    """Labels by kind over useful questions, and their rollouts."""
    totals = Counter[str]()
    for r in records:
        if r["status"] == LABELLED:
            totals.update(r["counts"])
            totals["rollouts"] += r["ledger"]["rollouts"]
    return totals


def true_error(record: LabelRecord, steps: Sequence[str]) -> int | None:
    """The oracle's first error."""
    assert TASK.oracle is not None
    return first_error(TASK.oracle(Problem(record["question_id"], record["question"], record["final_answer"]), steps))


def is_true(record: LabelRecord, path: Row) -> bool:
    """Whether the search found the oracle's first error."""
    return path["first_error"] == true_error(record, path["steps"])


async def bound(
    lm: LanguageModel, record: LabelRecord, steps: Sequence[str], k: int, args: argparse.Namespace
) -> tuple[float, float]:
    """(the chance that binary search from the question finds the true error, the least value of a right point)."""
    error = true_error(record, steps)
    if error is None:
        return 0.0, 0.0
    points = list(middles(len(steps), error))
    right = sorted({n for n in points if n <= error} | ({error} if error else set()))
    problem = Problem(record["question_id"], record["question"], record["final_answer"])
    wrong = [n for n in points if n > error]
    drawn = [draw(lm, problem, steps[:n], args.value_rollouts, args.seed) for n in right + wrong]
    values = dict(zip(right + wrong, await asyncio.gather(*drawn)))
    chance = 1.0
    for n in points:
        miss = (1 - values[n]) ** k  # no right rollout among k
        chance *= 1 - miss if n <= error else miss
    return chance, min((values[n] for n in right), default=1.0)


def middles(n: int, error: int) -> Iterator[int]:
    """The points that binary search over n steps asks for when each answer is true; `error`: the wrong step's index."""
    low, high = 0, n
    while high - low > 1:
        middle = (low + high) // 2
        yield middle
        low, high = (middle, high) if middle <= error else (low, middle)


async def draw(lm: LanguageModel, problem: Problem, steps: Sequence[str], n: int, seed: int) -> float:
    """The share of right ones among n fresh rollouts."""
    prompt = render(lm.card, TASK.prompt(problem)) + "".join(steps)
    temperature = lm.card.sampling.get("temperature", 1.0)
    sampling = Sampling(temperature=temperature, max_tokens=TASK.max_new_tokens, stop=lm.card.stop)
    seeds = [draw_seed(seed, f"{problem.id} value {''.join(steps)}", (), 0, i) for i in range(n)]
    samples = await lm.generate(prompt, sampling, seeds, Ledger())
    return sum(TASK.extract("".join(steps) + sample.text) == problem.answer for sample in samples) / n


def mc_values(records: Sequence[LabelRecord]) -> tuple[list[float], list[float]]:
    """MC values of the labelled steps that are right by the oracle, and of those that are not."""
    right, wrong = list[float](), list[float]()
    for r in records:
        for item in flatten(r["reasoning_steps"], r["separator"])[1:] if r["status"] == LABELLED else ():
            if item["k"] and item["source"] != "rollout":
                text = item["solution_prefix"].removeprefix(r["question"] + "\n\n") + r["separator"]
                bad = true_error(r, split_steps(text, r["separator"])) is not None
                (wrong if bad else right).append(item["mc_value"])
    return right, wrong


def area(right: Sequence[float], wrong: Sequence[float]) -> tuple[float | None, float | None]:
    """(AUC with ties counting half, share of tied pairs); None where one side is empty."""
    values = Counter(wrong)
    above = sum(n for x in right for y, n in values.items() if x > y)
    tied = sum(values[x] for x in right)
    pairs = len(right) * len(wrong)
    return ratio(above + tied / 2, pairs), ratio(tied, pairs)


def mean(values: Sequence[float]) -> float | None:
    """None of nothing."""
    return ratio(sum(values), len(values))


def ratio(a: float, b: float) -> float | None:
    """None where b is 0."""
    return a / b if b else None


if __name__ == "__main__":
    sys.exit(main())
