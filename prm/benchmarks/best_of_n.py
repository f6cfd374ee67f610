"""Best-of-N curves of a finished run as another PRM would have voted: every aggregate, as a vote and as the best one.

The run is rescored (reason.evaluation.rescore) and the smaller N are subsets of its N samples; no LM is asked.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.base_env import Grader, load_task
from prm.benchmarks.cases import Figures
from prm.benchmarks.report import BenchmarkResult
from prm.benchmarks.scoring import opened
from reason.common.errors import UserError
from reason.evaluation import records, stats
from reason.evaluation.rescore import rescore
from reason.evaluation.runs import Run, budget_of, read
from reason.evaluation.subsample import balanced_orders, pass_at
from reason.reranking import AGGREGATES, MAJORITY, aggregate, cluster, weighted_vote
from reason.reranking.votes import first_best

Outcome = dict[tuple[str, int], float]  # (vote, N) -> the chance of a right answer


async def run(args: argparse.Namespace) -> BenchmarkResult:
    """Rescore, vote and measure. Raises UserError."""
    finished = read(args.run)
    if not finished.results:
        raise UserError(f"{args.run}: holds no answered question")
    task = load_task(finished.config["dataset"]["task"])
    async with opened(args, task) as prm:
        folder = await rescore(args.run, prm.name, prm.model, args.out, args.num_worker, args.skip_bad_rows)
    most = budget_of(finished.config)
    assert most is not None  # best_of_n's own flags give it
    budgets = sorted({2**i for i in range(most.bit_length())} | {most})
    grader = task.grader()
    try:
        outcomes = [
            await question_curve(record, budgets, grader, args.seed, f"{folder / records.RECORDS}, line {line}")
            for line, record in enumerate(records.read_records(folder), 1)
            if record["error"] is None
        ]
    finally:
        await grader.close()
    rows = curve_rows(outcomes)
    own = vote_name(prm.card.aggregation, "vote")
    notes = [f"The card of {prm.name} is for the aggregate {prm.card.aggregation}: its own vote is {own}.",
             f"Rescored run: {folder}", *unfinished(finished)]  # fmt: skip
    unscored = finished.questions - finished.errors - len(outcomes)
    if unscored:
        notes.append(f"{unscored} questions, of which {prm.name} could not score a solution, are in no figure.")

    def draw(out: Path) -> list[Path]:
        from prm.benchmarks import plots

        return plots.best_of_n(rows, own, out)

    return BenchmarkResult("best_of_n", prm, {"curve": rows}, draw, notes=notes)


def vote_name(how: str, rule: str) -> str:
    """The name of a vote, OpenR's where it has one; `rule` is vote (scores summed over equal answers) or max."""
    return f"prm_{how}_{rule}"


async def question_curve(
    record: records.Record, budgets: Sequence[int], grader: Grader, seed: int, where: str
) -> Outcome:
    """Of one question the mean over seeded subsets; coverage is exact. Raises UserError, which names `where`."""
    try:
        outputs: list[dict[str, Any]] = record["output"]
        right = [output["verdict"] is True for output in outputs]
        clusters = await cluster([output["answer"] for output in outputs], grader)
        weights = {
            how: [aggregate(o["value"], how) if c is not None else 0.0 for o, c in zip(outputs, clusters, strict=True)]
            for how in AGGREGATES
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where}: cannot be voted over again: {error!r}") from None
    if len(outputs) < max(budgets):
        raise UserError(f"{where}: has {len(outputs)} solutions, and the run is of {max(budgets)}")
    orders = list(balanced_orders(len(outputs), random.Random(f"{seed} {record['id']}")))
    outcome: Outcome = {}
    for budget in budgets:
        outcome["coverage", budget] = pass_at(budget, len(right), sum(right))
        hits: dict[str, list[bool]] = {}
        for order in orders:
            subset = order[:budget]
            for name, chosen in votes([clusters[i] for i in subset], weights, subset).items():
                hits.setdefault(name, []).append(chosen is not None and right[subset[chosen]])
        outcome |= {(name, budget): stats.mean(hit) for name, hit in hits.items()}
    return outcome


def votes(groups: list[int | None], weights: dict[str, list[float]], subset: Sequence[int]) -> dict[str, int | None]:
    """Vote -> index in `subset` of a solution with the chosen answer; None where none of them has an answer."""
    chosen = {MAJORITY: weighted_vote(groups, [1.0] * len(groups))}
    for how, of_all in weights.items():
        mine = [of_all[i] for i in subset]
        chosen[vote_name(how, "vote")] = weighted_vote(groups, mine)
        chosen[vote_name(how, "max")] = first_best({i: mine[i] for i, c in enumerate(groups) if c is not None})
    return chosen


def curve_rows(outcomes: Sequence[Outcome]) -> list[Figures]:
    """One row for each vote and N, with 95 % bootstrap intervals over questions."""
    rows = []
    for name, budget in outcomes[0]:
        mean, low, high = stats.bootstrap([outcome[name, budget] for outcome in outcomes])
        rows.append({
            "name": name, "budget": budget, "problems": len(outcomes), "accuracy": mean,
            "accuracy_interval": [low, high],
        })  # fmt: skip
    order = list(dict.fromkeys(row["name"] for row in rows))
    return sorted(rows, key=lambda row: (order.index(row["name"]), row["budget"]))


def unfinished(run: Run) -> list[str]:
    """What of the run is not there."""
    planned, notes = run.config["dataset"].get("questions", run.questions), []
    if run.questions < planned:
        notes.append(f"The run has not ended: {run.questions} of {planned} questions.")
    if run.errors:
        notes.append(f"{run.errors} questions failed in the run and are in no figure.")
    return notes
