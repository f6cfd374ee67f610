"""Best-of-N at smaller budgets from one run of the largest: what k of its N samples would have given.

Valid for best-of-N only, whose samples are independent. The votes are those of a run, taken again over subsets of the
stored solutions with their stored scores and verdicts; no service is asked. Coverage is exact:
pass@k = 1 - C(n-c, k) / C(n, k) for c right ones of n (Chen et al., 2021).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil, comb

from envs.base_env import Grader, load_task
from reason.common.errors import UserError
from reason.evaluation import records, stats
from reason.evaluation.runs import Run, budget_of
from reason.inference.ledger import Ledger
from reason.reranking import MAJORITY, aggregate, cluster, vote, weighted_vote

SUBSETS = 64  # of a question and budget, at least


def subsample(run: Run, budgets: Sequence[int], seed: int = 0) -> list[Run]:
    """The best-of-N run at each of the smaller `budgets`. Raises UserError when its records do not allow it.

    Results are means over seeded subsets, LM tokens the subset's share, which is their mean over all subsets. PRM
    tokens and seconds are the same share of what was measured; config's method_config holds `subsampled_from`.
    """
    most = budget_of(run.config)
    assert most is not None
    results = asyncio.run(_results(run, budgets, seed))
    return [_at(run, budget, most, {i: by_budget[budget] for i, by_budget in results.items()}) for budget in budgets]


def _at(run: Run, budget: int, most: int, results: dict[str, dict[str, float]]) -> Run:
    share = budget / most
    config = run.config | {
        "arguments": run.config["arguments"] | {"budget": budget},
        "method_config": run.config["method_config"] | {"num_sequence": budget, "subsampled_from": most},
    }
    ledger = Ledger(
        generated_tokens=run.ledger.generated_tokens * share,  # type: ignore[arg-type]
        prm_tokens_computed=run.ledger.prm_tokens_computed * share,  # type: ignore[arg-type]
    )
    return replace(run, config=config, results=results, ledger=ledger, seconds=run.seconds * share)


async def _results(run: Run, budgets: Sequence[int], seed: int) -> dict[str, dict[int, dict[str, float]]]:
    """Question -> budget -> result, of the questions that were answered."""
    grader, by_budget = load_task(run.config["dataset"]["task"]).grader(), {}
    how = run.config["cards"]["RM"]["aggregation"] if run.config["RM"] else None
    try:
        for folder in run.folders:
            for record in records.read_records(folder):
                if record["error"] is None:
                    if len(record["output"]) < max(budgets):
                        raise UserError(f"{folder}: question {record['id']} has too few solutions")
                    by_budget[record["id"]] = await _question(record, budgets, how, grader, seed)
    except (KeyError, TypeError) as error:
        raise UserError(f"{run.name}: a record's output cannot be voted over again: {error!r}") from None
    finally:
        await grader.close()
    return by_budget


async def _question(
    record: records.Record, budgets: Sequence[int], how: str | None, grader: Grader, seed: int
) -> dict[int, dict[str, float]]:
    """The mean result of one question at each budget; `how` aggregates step scores, None: majority is the headline."""
    outputs = record["output"]
    clusters = await cluster([output["answer"] for output in outputs], grader)
    right = [output["verdict"] is True for output in outputs]
    weights = [
        aggregate(output["value"], how) if how and c is not None else 0.0 for output, c in zip(outputs, clusters)
    ]
    orders = list(balanced_orders(len(outputs), random.Random(f"{seed} {record['id']}")))
    return {budget: _mean_result(budget, orders, clusters, weights if how else None, right) for budget in budgets}


def _mean_result(
    budget: int,
    orders: Sequence[Sequence[int]],
    clusters: Sequence[int | None],
    weights: Sequence[float] | None,
    right: Sequence[bool],
) -> dict[str, float]:
    majority, headline = [], []
    for order in orders:
        subset = order[:budget]
        groups = [clusters[i] for i in subset]
        chosen = vote(MAJORITY, groups, None)
        majority.append(float(chosen is not None and right[subset[chosen]]))
        if weights is not None:
            chosen = weighted_vote(groups, [weights[i] for i in subset])
            headline.append(float(chosen is not None and right[subset[chosen]]))
    return {
        MAJORITY: stats.mean(majority),
        "headline": stats.mean(headline or majority),
        "coverage": pass_at(budget, len(right), sum(right)),
    }


def balanced_orders(n: int, rng: random.Random) -> Iterator[list[int]]:
    """At least SUBSETS orders of n samples whose first k hold each sample equally often, for every k.

    They are all rotations of a few shuffles. Ties of votes go to the answer that comes first, so here at random.
    """
    for _ in range(ceil(SUBSETS / max(1, n))):
        order = rng.sample(range(n), n)
        for start in range(n):
            yield order[start:] + order[:start]


def pass_at(k: int, n: int, right: int) -> float:
    """The chance that k of n samples, drawn without replacement, hold one of the `right` ones; k at most n."""
    return 1.0 - comb(n - right, k) / comb(n, k)
