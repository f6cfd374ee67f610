"""A scripted LM with finitely many continuations, and a scripted PRM: trees small enough to compute by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from envs.base_env import Problem, StepVerdict, Task, Verdict
from reason.guided_search.options import SearchOptions
from reason.guided_search.tree import SearchTree
from reason.inference.base import Sample, Sampling
from reason.inference.ledger import Ledger
from reason.model_cards.card import LMCard, PRMCard

PROBLEM = Problem(id="p", question="q", answer="right")
MAZE = {  # one right path among samples that err at every step
    "": ["bad 1\n", "good\n", "bad 2\n", "bad 3\n"],
    **{f"bad {i}\n": ["answer wrong"] for i in (1, 2, 3)},
    "good\n": ["bad\n", "good 2\n"],
    "good\nbad\n": ["answer wrong"],
    "good\ngood 2\n": ["bad answer wrong", "answer right"],
}


class TextGrader:
    """Answers are equal as text, except that "1/2" is 0.5."""

    async def equal(self, gold: str, answer: str) -> Verdict:
        def same(text: str) -> str:
            return {"1/2": "0.5"}.get(text, text)

        return Verdict(same(gold) == same(answer))

    async def close(self) -> None: ...


def extract(text: str) -> str | None:
    """The text behind "answer "."""
    return text.partition("answer ")[2] or None


TASK = Task(
    name="scripted",
    problems=lambda options: [PROBLEM],
    prompt=lambda problem: problem.question,
    extract=extract,
    grader=TextGrader,
    oracle=lambda problem, steps: [
        StepVerdict(True, "bad" not in "".join(steps[: i + 1]), True) for i in range(len(steps))
    ],
)


class ScriptedLM:
    """`script` maps a prefix (the steps so far, joined) to its continuations; sample i of a draw is continuation i.

    A later draw at the same prefix goes on where the one before ended. A continuation that ends with a newline is
    followed by what its own prefix continues with when a whole solution is asked for.
    """

    card = LMCard(name="scripted", prompt="{question}:", step_separator="\n")

    def __init__(self, script: Mapping[str, Sequence[str]]) -> None:
        self.script, self.drawn, self.asked = script, dict[str, int](), list[tuple[str, int]]()

    async def generate(self, prompt: str, sampling: Sampling, seeds: Sequence[int], ledger: Ledger) -> list[Sample]:
        prefix = prompt.removeprefix("q:")
        self.asked.append((prefix, len(seeds)))
        assert len(set(seeds)) == len(seeds)
        ledger.lm_calls += 1
        samples = []
        for _ in seeds:
            text = self._next(prefix)
            while "\n" not in sampling.stop and text.endswith("\n"):
                more = self._next(prefix + text)
                if not more:
                    break
                text += more
            samples.append(Sample(text, max(1, len(text.split())), "length" if text.endswith("...") else "stop"))
        ledger.generated_tokens += sum(sample.num_tokens for sample in samples)
        return samples

    def _next(self, prefix: str) -> str:
        choices = self.script[prefix]
        index = self.drawn.get(prefix, 0)
        self.drawn[prefix] = index + 1
        return choices[index % len(choices)]


class ScriptedRM:
    """The score of a step is `scores[step text]`."""

    card = PRMCard(name="scripted", head="scripted", step_tag="")

    def __init__(self, scores: Mapping[str, float]) -> None:
        self.scores, self.scored = scores, list[tuple[str, ...]]()

    async def score(self, problem: Problem, solutions: Sequence[Sequence[str]], ledger: Ledger) -> list[list[float]]:
        self.scored += [tuple(steps) for steps in solutions]
        ledger.prm_calls += 1
        return [[self.scores[step] for step in steps] for steps in solutions]


def grow(lm: ScriptedLM, rm: object, **options: object) -> SearchTree:
    """A tree for the scripted problem."""
    return SearchTree(PROBLEM, TASK, lm, rm, SearchOptions(**options), Ledger(), TextGrader())  # type: ignore[arg-type]
