"""One question, one call, without services:

    from reason import solve

    solved = solve("23 + 9 * 3 + 68", lm="local:openr-tiny-policy", rm="local:openr-tiny-prm", method="beam_search")
    print(solved.answer, solved.confidence)

Importing it is light: what it needs is imported with the first question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from reason.inference import LocalOptions
    from reason.inference.base import LanguageModel, RewardModel
    from reason.solve.result import Solved

BUDGET, MANY = 16, 64  # defaults: solutions' worth of generation, questions in flight
CONTROLLER = "http://127.0.0.1:28777"


@overload
def solve(
    question: str, lm: str | LanguageModel, rm: str | RewardModel | None = None, method: str = "best_of_n",
    budget: int | None = BUDGET, *, task: str | None = None, lm_card: str | None = None, rm_card: str | None = None,
    controller_addr: str = CONTROLLER, local: LocalOptions | None = None, num_worker: int = MANY, **options: Any,
) -> Solved: ...  # fmt: skip
@overload
def solve(
    question: Sequence[str], lm: str | LanguageModel, rm: str | RewardModel | None = None, method: str = "best_of_n",
    budget: int | None = BUDGET, *, task: str | None = None, lm_card: str | None = None, rm_card: str | None = None,
    controller_addr: str = CONTROLLER, local: LocalOptions | None = None, num_worker: int = MANY, **options: Any,
) -> list[Solved]: ...  # fmt: skip
def solve(
    question: str | Sequence[str],
    lm: str | LanguageModel,
    rm: str | RewardModel | None = None,
    method: str = "best_of_n",
    budget: int | None = BUDGET,
    *,
    task: str | None = None,
    lm_card: str | None = None,
    rm_card: str | None = None,
    controller_addr: str = CONTROLLER,
    local: LocalOptions | None = None,
    num_worker: int = MANY,
    **options: Any,
) -> Solved | list[Solved]:
    """Solve a question, or a list of questions together, by a search method. No gold answer is needed.

    lm, rm:      `local:FOLDER`, or `local:` and the name of an embedded model, or NAME at the controller; for `rm`
                 also `oracle`. Or models that are open.
    budget:      N, solutions' worth of generation; None where `num_sequence` is given.
    task:        whose prompt, steps and grading are used; default: what the LM's card says, else MATH.
    lm_card, rm_card, local:  the cards of local models that have none, and how they compute (device, dtype, engine).
    num_worker:  questions in flight.
    options:     of the method and of sampling, by the names of `openr eval`'s flags: seed, temperature,
                 max_new_tokens, tree_max_width, rebase_temperature, ...

    It may be called in a notebook as it is; a coroutine awaits `solve_async` instead. Local models stay loaded for the
    next call; `unload` frees them. Raises UserError for bad input and, for a single question, ModelError. In a list a
    question that the models could not answer has its `error`, and the others have their answers.
    """
    from reason.solve.background import BACKGROUND
    from reason.solve.questions import Asked, solve_questions

    asked = Asked(lm, rm, method, budget, task, lm_card, rm_card, controller_addr, local, num_worker, options)
    results = BACKGROUND.run(solve_questions(question, asked, BACKGROUND.models))
    return results[0] if isinstance(question, str) else results


async def solve_async(
    question: str | Sequence[str],
    lm: str | LanguageModel,
    rm: str | RewardModel | None = None,
    method: str = "best_of_n",
    budget: int | None = BUDGET,
    *,
    task: str | None = None,
    lm_card: str | None = None,
    rm_card: str | None = None,
    controller_addr: str = CONTROLLER,
    local: LocalOptions | None = None,
    num_worker: int = MANY,
    **options: Any,
) -> Solved | list[Solved]:
    """`solve` on the running event loop. Models that are given by name are opened for this call and closed after it."""
    from reason.solve.questions import Asked, solve_questions

    asked = Asked(lm, rm, method, budget, task, lm_card, rm_card, controller_addr, local, num_worker, options)
    results = await solve_questions(question, asked, None)
    return results[0] if isinstance(question, str) else results


def unload() -> None:
    """Free the local models that `solve` keeps loaded."""
    from reason.solve.background import BACKGROUND

    BACKGROUND.close()
