"""What a problem is: `Problem`, `Task` (one for each folder of `envs/`) and `CoTEnv`, the step-by-step MDP.

Nothing here knows a model or a search. A task is a plain record of functions, so a new task is a new folder
that exports `TASK`; nothing else has to be registered.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from envs.thoughts import without_thoughts
from reason.common.errors import UserError


@dataclass(frozen=True)
class Problem:
    """One row of a task."""

    id: str
    question: str
    answer: str  # the gold final answer
    level: str | None = None
    subject: str | None = None
    solution: str | None = None  # the reference solution, where the dataset has one


@dataclass(frozen=True)
class StepVerdict:
    """What an exact oracle says of one step."""

    local_ok: bool  # the step follows from the line above
    prefix_ok: bool  # no error so far
    value_ok: bool  # what remains still has the gold value


@dataclass(frozen=True)
class Verdict:
    """The outcome of comparing two answers; `equal` is None when undecided, with the reason."""

    equal: bool | None
    reason: str = ""
    path: str = ""  # which rule decided


class Grader(Protocol):
    """Compares final answers. Safe to await from many questions at once; never raises for bad text."""

    async def equal(self, gold: str, answer: str) -> Verdict: ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class DataOptions:
    """Which problems to load."""

    split: str = "test"
    data_path: Path | None = None  # a local file instead of the task's own source
    limit: int | None = None
    shuffle_seed: int | None = None  # None keeps the dataset's order
    level: str | None = None
    seed: int = 0  # of generated tasks
    path_flag: str = "--data_path"  # what the user gives a file with, for errors


@dataclass(frozen=True)
class Task:
    """All that the rest of the project knows of a task."""

    name: str
    problems: Callable[[DataOptions], list[Problem]]  # raises UserError
    prompt: Callable[[Problem], str]  # the user's turn: question and the request for the answer's form
    extract: Callable[[str], str | None]  # a solution's text -> its final answer
    grader: Callable[[], Grader]
    gold: Callable[[str], str | None] = str  # a dataset's answer or reference solution -> the gold; None: unreadable
    oracle: Callable[[Problem, Sequence[str]], list[StepVerdict]] | None = None  # one verdict a step
    marked: Callable[[str], str] | None = None  # a text up to the end of its last complete mark of an answer
    few_shot: tuple[tuple[str, str], ...] = ()  # (question, solution) examples, used with --is_few_shot
    max_new_tokens: int = 2048  # of a whole solution
    max_step_tokens: int = 256
    max_depth: int = 40  # steps of a solution
    width: int = 4  # samples of an expansion
    # mean steps of a sampled solution by level, "" where none is chosen; empty where it has to be measured
    steps_per_solution: Mapping[str, float] = field(default_factory=dict)

    def answer(self, text: str, thought: bool = False, cut: bool = False) -> str | None:
        """The final answer of a solution, or None.

        `thought`: the prompt opened a thought, which has to end before there is an answer. `cut`: the solution ended
        because of its length; where the task's answers have marks, only a complete one counts.
        """
        text = without_thoughts(text, thought)
        return self.extract(self.marked(text) if cut and self.marked is not None else text)


def load_task(name: str) -> Task:
    """The task of folder `envs/<name>`; raises UserError that lists the tasks there are."""
    import envs

    known = sorted(m.name for m in pkgutil.iter_modules(envs.__path__) if m.ispkg and m.name != "grading")
    if name not in known:
        raise UserError(f"no task {name!r}; there are: {', '.join(known)}")
    task: Task = importlib.import_module(f"envs.{name}").TASK
    return task


def split_steps(text: str, separator: str) -> list[str]:
    """Cut `text` into steps: after each separator, with what is blank behind it.

    No step is blank: blank text at the beginning belongs to the first step, other blank text to the step before it.
    Joining the steps gives `text` again; blank text has no step.

    >>> split_steps("a\\nb\\nc", "\\n")
    ['a\\n', 'b\\n', 'c']
    """
    pieces = [piece + separator for piece in text.split(separator)]
    pieces[-1] = pieces[-1].removesuffix(separator)
    steps: list[str] = []
    for piece in pieces:
        if steps and (not piece.strip() or not steps[-1].strip()):
            steps[-1] += piece
        elif piece:
            steps.append(piece)
    return steps if text.strip() else []


def ending(text: str, finish_reason: str, separator: str, to_end: bool, depth: float, max_depth: float) -> str | None:
    """How a solution ends with a sample: "stop" (the model ended its text), "length" (it was cut), None (it goes on).

    `text` and `finish_reason` are the sample's. Without `to_end` it was asked for one step and also stops at the
    separator; `depth` is the number of steps with it. A solution of `max_depth` steps is cut; a whole rest never is.
    """
    if to_end or finish_reason == "length":
        return finish_reason
    if not text.endswith(separator):
        return "stop"
    return "length" if depth >= max_depth else None


@dataclass(frozen=True)
class State:
    """A question and the steps written so far. Each step's text holds its separator, the last one's may not."""

    problem: Problem
    steps: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The solution so far, as the model wrote it."""
        return "".join(self.steps)


@dataclass
class CoTEnv:
    """The MDP that search and RL share: state = question + steps so far, action = one step.

    Terminated: the model ended its text. Truncated: it was cut, or the number of steps reached `max_depth`. See
    `ending`.
    """

    task: Task
    problem: Problem
    separator: str
    max_depth: int
    state: State = field(init=False)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> State:
        """Back to the bare question."""
        self.state = State(self.problem)
        return self.state

    def step(self, action: str, finish_reason: str | None = None) -> tuple[State, bool, bool]:
        """Append one step; returns (state, terminated, truncated). The outcome reward is the grader's.

        `finish_reason` is of a sample that ended with this step: "stop" (the end of the text) or "length".
        """
        self.state = State(self.problem, self.state.steps + (action,))
        to_end, depth = finish_reason is not None, len(self.state.steps)
        end = ending(action, finish_reason or "stop", self.separator, to_end, depth, self.max_depth)
        return self.state, end == "stop", end == "length"


def first_error(verdicts: Iterable[StepVerdict]) -> int | None:
    """Index of the first step that is not prefix_ok, or None when all are right."""
    return next((i for i, verdict in enumerate(verdicts) if not verdict.prefix_ok), None)
