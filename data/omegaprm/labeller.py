"""Many questions at once: roll out, search, label, and hand over one record a question.

One event loop drives everything; `num_worker` questions are in flight, each a coroutine that takes the next question
when it is done.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from data.omegaprm.all_steps import all_steps
from data.omegaprm.labels import collect, counts
from data.omegaprm.options import LabelOptions
from data.omegaprm.output import LabelRecord, nest
from data.omegaprm.search import SearchedSolution, omegaprm
from data.omegaprm.tree import RolloutTree
from envs.base_env import Grader, Problem, Task
from reason.common.concurrency import each
from reason.inference.base import LanguageModel, ModelError, ServiceError
from reason.inference.ledger import Ledger

Method = Callable[[RolloutTree], Awaitable[list[SearchedSolution]]]
METHODS: dict[str, Method] = {"omegaprm": omegaprm, "all_steps": all_steps}
# what became of a question; only the first yields labels, an error is tried again when the run is started again
LABELLED, ALWAYS, NEVER, UNDECIDED, ERROR = "labelled", "always solved", "never solved", "undecided", "error"
STATUSES = (LABELLED, ALWAYS, NEVER, UNDECIDED, ERROR)

Numbered = tuple[int, Problem]  # with its place in the run, shards taken together


@dataclass(frozen=True)
class LabelSetup:
    """What every question of a run is labelled with."""

    task: Task
    lm: LanguageModel
    policy: str  # the LM's name at the controller
    grader: Grader
    options: LabelOptions
    keep_right_rollouts: bool = True


async def label_all(
    setup: LabelSetup, problems: Sequence[Numbered], num_worker: int, done: Callable[[LabelRecord], None]
) -> None:
    """Call `done` with the record of each question, in order of completion. Raises ServiceError: the run stops."""
    await each(problems, num_worker, lambda numbered: label_problem(setup, *numbered), done)


async def label_problem(setup: LabelSetup, index: int, problem: Problem) -> LabelRecord:
    """Label one question. Whatever goes wrong stands in the record's `error`, beside what it cost."""
    started, ledger = time.monotonic(), Ledger()
    tree = RolloutTree(problem, setup.task, setup.lm, setup.grader, setup.options, ledger)
    labels: LabelRecord = {"reasoning_steps": None, "searched": [], "counts": {}}
    error = None
    try:
        value = await tree.estimate_root()
        status = {None: UNDECIDED, 0.0: NEVER, 1.0: ALWAYS}.get(value, LABELLED)
        if status == LABELLED:
            labels = _labels(setup, tree, await METHODS[setup.options.method](tree))
    except ServiceError:
        raise
    except Exception as caught:  # one question's failure is never the end of the run
        status, error = ERROR, {"type": type(caught).__name__, "message": str(caught)}
        if not isinstance(caught, ModelError):  # unexpected: keep the place
            error["traceback"] = traceback.format_exc()
    return {
        "index": index,
        "question_id": problem.id,
        "question": problem.question,
        "final_answer": problem.answer,
        "status": status,
        **labels,
        "separator": setup.lm.card.step_separator,
        "ledger": _spent(tree),
        "seconds": {name: value for name, value in ledger.to_json().items() if name.startswith("seconds")}
        | {"seconds": round(time.monotonic() - started, 3)},
        "error": error,
    }


def _labels(setup: LabelSetup, tree: RolloutTree, searched: Sequence[SearchedSolution]) -> LabelRecord:
    labels = collect(tree, searched, setup.keep_right_rollouts)
    marks = {"policy": setup.policy, "temperature": setup.options.temperature}
    return {
        "reasoning_steps": nest(tree.problem.question, labels, setup.lm.card.step_separator, marks),
        "searched": [
            {
                "steps": list(solution.rollout.steps),
                "start": solution.rollout.start,
                "right": solution.rollout.right,
                "first_error": solution.first_error,
            }
            for solution in searched
        ],
        "counts": counts(labels),
    }


def _spent(tree: RolloutTree) -> dict[str, Any]:
    """What the question cost, in counts alone: they are the same whenever and beside whatever it is run."""
    costs = tree.ledger.to_json()
    return {
        "rollouts": tree.spent,
        "points": sum(point.drawn > 0 for point in tree.points.values()),
        "undecided": tree.undecided,
        "cut": tree.cut,
        **{name: int(costs[name]) for name in ("lm_calls", "prompt_tokens", "generated_tokens")},
    }
