"""Many questions at once: solve, vote, grade, and hand over one record a question.

One event loop drives everything. `num_worker` questions are in flight, each a coroutine that takes the next
problem when it is done, so there is no barrier and never more than `num_worker` live trees.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from envs.base_env import Grader, Problem, Task, Verdict
from reason.common.concurrency import each
from reason.evaluation.records import Record
from reason.guided_search import solve
from reason.guided_search.method import Method
from reason.guided_search.options import SearchOptions
from reason.guided_search.solution import Solution
from reason.inference.base import LanguageModel, ModelError, RewardModel
from reason.inference.ledger import Ledger
from reason.reranking import all_votes, cluster


@dataclass(frozen=True)
class Setup:
    """What every question of a run is solved with."""

    task: Task
    method: Method
    lm: LanguageModel
    rm: RewardModel | None
    options: SearchOptions
    grader: Grader


async def evaluate(setup: Setup, problems: Sequence[Problem], num_worker: int, done: Callable[[Record], None]) -> None:
    """Call `done` with the record of each problem, in order of completion. A failing question is a record too."""
    await each(problems, num_worker, lambda problem: evaluate_problem(setup, problem), done)


async def evaluate_problem(setup: Setup, problem: Problem) -> Record:
    """Solve and grade one problem. Whatever goes wrong stands in the record's `error`, with no result."""
    started, ledger = time.monotonic(), Ledger()
    judged: Record = {"result": None, "output": [], "undecided": 0}
    error = None
    try:
        solutions = await solve(
            setup.method, problem, setup.task, setup.lm, setup.rm, setup.options, ledger, setup.grader
        )
        judged = await judge_solutions(setup.rm, setup.grader, problem, solutions, ledger)
    except Exception as caught:  # one question's failure is never the end of the run
        error = error_of(caught)
    return {
        "id": problem.id,
        "question": problem.question,
        "groundtruth": problem.solution or problem.answer,
        "gold": problem.answer,
        "level": problem.level,
        "subject": problem.subject,
        **judged,
        "cut": "tokens" if ledger.cut_by_tokens else "seconds" if ledger.cut_by_seconds else None,
        "ledger": ledger.to_json(),
        "seconds": round(time.monotonic() - started, 3),
        "error": error,
    }


def error_of(caught: Exception) -> dict[str, str]:
    """A record's `error`, while `caught` is being handled."""
    if isinstance(caught, ModelError):  # expected now and then; of all else the place is kept
        return {"type": "ModelError", "message": str(caught)}
    return {"type": type(caught).__name__, "message": str(caught), "traceback": traceback.format_exc()}


async def judge_solutions(
    rm: RewardModel | None, grader: Grader, problem: Problem, solutions: Sequence[Solution], ledger: Ledger
) -> Record:
    """Votes and verdicts: the record's `result`, `output` and `undecided`."""
    clusters, verdicts = await _grade(grader, problem, solutions, ledger)
    tokens = shares_of(solutions, ledger.generated_tokens)
    return {
        "result": _result(rm, solutions, clusters, verdicts) | {"total_completion_tokens": sum(tokens)},
        "output": [
            _output(i, s, c, verdicts, n) for i, (s, c, n) in enumerate(zip(solutions, clusters, tokens, strict=True))
        ],
        "undecided": sum(verdict.equal is None for verdict in verdicts.values()),
    }


async def _grade(
    grader: Grader, problem: Problem, solutions: Sequence[Solution], ledger: Ledger
) -> tuple[list[int | None], dict[int, Verdict]]:
    """The cluster of each solution's answer (None: no answer), and the gold's verdict on each cluster."""
    started = time.monotonic()
    answers = [solution.answer for solution in solutions]
    clusters = await cluster(answers, grader)
    distinct: dict[int, str] = {}  # the first answer of each
    for c, answer in zip(clusters, answers, strict=True):
        if c is not None and answer is not None:
            distinct.setdefault(c, answer)
    verdicts = await asyncio.gather(*(grader.equal(problem.answer, answer) for answer in distinct.values()))
    ledger.seconds_grading += time.monotonic() - started
    return clusters, dict(zip(distinct, verdicts, strict=True))


def _result(
    rm: RewardModel | None, solutions: Sequence[Solution], clusters: list[int | None], verdicts: dict[int, Verdict]
) -> dict[str, int]:
    """OpenR's votes as 0 or 1 (an undecided verdict is no 1), the headline vote, and coverage."""
    scores = [solution.scores or () for solution in solutions] if rm else None
    votes = all_votes(clusters, scores, rm.card.aggregation if rm else "")
    right = [c is not None and verdicts[c].equal is True for c in clusters]
    result = {name: int(chosen is not None and right[chosen]) for name, chosen in votes.items()}
    result["coverage"] = int(any(right))
    return result


def shares_of(solutions: Sequence[Solution], total: int) -> list[int]:
    """The tokens that each solution stands for: what was spent since the one before; the last takes up the rest."""
    spent = [0, *(solution.spent for solution in solutions)]
    return [after - before for before, after in pairwise([*spent[:-1], total])] if solutions else []


def _output(index: int, solution: Solution, group: int | None, verdicts: dict[int, Verdict], tokens: int) -> Record:
    """A solution as OpenR writes it, with its answer and the verdict on it (None: undecided, or no answer)."""
    return {
        "path_idx": index,
        "text": solution.text,
        "value": None if solution.scores is None else list(solution.scores),
        "completion_tokens": tokens,
        "num_tokens": solution.num_tokens,
        "finish_reason": solution.finish_reason,
        "answer": solution.answer,
        "verdict": None if group is None else verdicts[group].equal,
    }
