"""Questions -> answers: check what is asked, open the models, search each question, vote."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from envs.base_env import Grader, Problem, Task, load_task
from reason.common.concurrency import each
from reason.common.errors import UserError
from reason.common.options import fields_of, flag_of
from reason.guided_search import configure, method_of, needs_steps, search
from reason.guided_search.method import Method
from reason.guided_search.options import SearchOptions
from reason.guided_search.tree import SearchTree
from reason.guided_search.view import view_of
from reason.inference import LocalOptions, open_lm, open_rm
from reason.inference.base import LanguageModel, ModelError, RewardModel
from reason.inference.judge import JudgeRM
from reason.inference.ledger import Ledger
from reason.inference.prompting import render
from reason.solve.background import OpenModels
from reason.solve.result import Solved, failed, judged

TASK = "MATH"  # where the LM's card names none
LOCAL = "local:"


@dataclass(frozen=True)
class Asked:
    """What `solve` was asked for, beside the questions. Raises UserError before a model is opened."""

    lm: str | LanguageModel
    rm: str | RewardModel | None
    method: str
    budget: int | None
    task: str | None
    lm_card: str | None
    rm_card: str | None
    controller_addr: str
    local: LocalOptions | None
    num_worker: int
    options: dict[str, Any]

    def __post_init__(self) -> None:
        method = method_of(self.method)
        if self.rm is None and method.needs_rm:
            raise UserError(f"{self.method} is guided by a reward model: give rm")
        if type(self.num_worker) is not int or self.num_worker < 1:
            raise UserError(f"num_worker must be a whole number of at least 1, not {self.num_worker!r}")
        if self.budget is not None and self.options.get("num_sequence") is not None:
            raise UserError("budget and num_sequence say the same in two ways: give budget=None with num_sequence")
        shared = fields_of(SearchOptions)
        for name in method.unused:
            for spelt in {name, flag_of(shared[name])} & self.options.keys():
                raise UserError(f"{self.method} has no use for {spelt}")
        configure(self.method, self.given)
        if self.task is not None:
            load_task(self.task)

    @property
    def given(self) -> dict[str, Any]:
        """The options that are given, the budget among them."""
        return {name: v for name, v in {"budget": self.budget, **self.options}.items() if v is not None}


@dataclass(frozen=True)
class Solver:
    """What every question of a call is solved with."""

    task: Task
    method: Method
    options: SearchOptions
    lm: LanguageModel
    rm: RewardModel | None
    grader: Grader

    async def solve(self, question: str) -> Solved:
        """One question. Raises ModelError."""
        cost = Ledger()
        tree = SearchTree(problem_of(question), self.task, self.lm, self.rm, self.options, cost, self.grader)
        solutions = await search(self.method, tree)
        aggregation = None if self.rm is None else self.rm.card.aggregation
        return await judged(question, solutions, aggregation, self.grader, cost, view_of(tree, solutions))


async def solve_questions(question: str | Sequence[str], asked: Asked, kept: OpenModels | None) -> list[Solved]:
    """See `reason.solve.solve`. Local models are taken from `kept` and stay there; others are closed in the end."""
    questions = checked(question)
    if not questions:
        return []
    async with contextlib.AsyncExitStack() as stack:
        lm = await policy_of(asked, kept, stack)
        task = load_task(asked.task or lm.card.task or TASK)
        rm = await reward_model_of(asked, task, kept, stack)
        method, options = configured(asked, task, lm)
        render(lm.card, task.prompt(problem_of(questions[0])), task.few_shot if options.few_shot else ())
        grader = task.grader()
        stack.push_async_callback(grader.close)
        solver = Solver(task, method, options, lm, rm, grader)
        if isinstance(question, str):
            return [await solver.solve(question)]
        results: dict[int, Solved] = {}

        async def work(index: int) -> tuple[int, Solved]:
            try:
                return index, await solver.solve(questions[index])
            except ModelError as error:
                return index, failed(questions[index], str(error))

        await each(range(len(questions)), asked.num_worker, work, lambda result: results.update([result]))
        return [results[index] for index in range(len(questions))]


def checked(question: str | Sequence[str]) -> list[str]:
    """The questions as a list. Raises UserError for one that is no text, or empty."""
    questions = [question] if isinstance(question, str) else list(question)
    for number, text in enumerate(questions, 1):
        where = "the question" if isinstance(question, str) else f"question {number} of {len(questions)}"
        if not isinstance(text, str):
            raise UserError(f"{where} must be text, not {type(text).__name__}")
        if not text.strip():
            raise UserError(f"{where} is empty")
    return questions


def problem_of(question: str) -> Problem:
    """A question without a gold answer. Its id, and so every draw's seed, is a function of its text."""
    return Problem(hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:16], question, "")


async def policy_of(asked: Asked, kept: OpenModels | None, stack: contextlib.AsyncExitStack) -> LanguageModel:
    """The policy LM, open. Raises UserError."""
    if not isinstance(asked.lm, str):
        return asked.lm
    local = asked.local or LocalOptions()
    opening = partial(open_lm, asked.lm, card=asked.lm_card, controller_addr=asked.controller_addr, local=local)
    model: LanguageModel = await _opened(opening, ("lm", asked.lm, asked.lm_card, local), kept, stack)
    return model


async def reward_model_of(
    asked: Asked, task: Task, kept: OpenModels | None, stack: contextlib.AsyncExitStack
) -> RewardModel | None:
    """The reward model, open; None where there is none, or one solution leaves it no choice. Raises UserError."""
    if asked.rm is None or method_of(asked.method).greedy:
        return None
    if not isinstance(asked.rm, str):
        return asked.rm
    seed, local = asked.options.get("seed", 0), asked.local or LocalOptions()
    opening = partial(
        open_rm, asked.rm, task=task, seed=seed, card=asked.rm_card, controller_addr=asked.controller_addr, local=local
    )
    model: RewardModel = await _opened(opening, ("rm", asked.rm, asked.rm_card, local), kept, stack)
    if isinstance(model, JudgeRM):  # it may have been opened with another seed
        return JudgeRM(model.card, model.lm, model.details, seed)
    return model


async def _opened(
    opening: Callable[[], Any], key: tuple[Any, ...], kept: OpenModels | None, stack: contextlib.AsyncExitStack
) -> Any:
    if kept is not None and key[1].startswith(LOCAL):
        return await kept.get(key, opening)
    return await stack.enter_async_context(opening())


def configured(asked: Asked, task: Task, lm: LanguageModel) -> tuple[Method, SearchOptions]:
    """The method and all options: the ones given, else the LM's card's, else the task's. Raises UserError."""
    if "" in task.steps_per_solution:
        given = {"steps_per_solution": task.steps_per_solution[""]} | asked.given
    else:
        given = asked.given
    method, options = configure(asked.method, given, task, lm.card)
    if options.few_shot and not task.few_shot:
        raise UserError(f"task {task.name!r} has no worked examples: leave out few_shot")
    if needs_steps(method, options):
        raise UserError(f"the budget of {asked.method} counts steps: give steps_per_solution, their mean number")
    return method, options
