"""What `solve` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from envs.base_env import Grader
from reason.guided_search.solution import Solution
from reason.guided_search.view import TreeView
from reason.inference.ledger import Ledger
from reason.reranking import HEADLINE, all_votes, cluster, headline_weights


@dataclass(frozen=True)
class Confidence:
    """How clear the headline vote was. Shares are of the weights, or of the solutions where a weight is negative."""

    share: float  # of the answer, 0 to 1
    margin: float  # the answer's share minus that of the runner-up

    def __str__(self) -> str:
        return f"{self.share:.2f} (margin {self.margin:.2f})"


@dataclass(frozen=True, repr=False)
class Solved:
    """A question with its answer and what led to it. It is shown as a table in a notebook."""

    question: str
    answer: str | None  # the headline vote's: weighted by the PRM's scores, or the majority's without a PRM
    solutions: tuple[Solution, ...]
    votes: Mapping[str, str | None]  # the answer of each vote by its name; the headline last
    shares: Mapping[str, float]  # of each different answer in the headline vote, the greatest first
    confidence: Confidence
    cost: Ledger
    tree: TreeView | None
    error: str | None = None  # why the question could not be solved, where a list was asked for

    def __repr__(self) -> str:
        if self.error is not None:
            return f"Solved({self.question!r}: error: {self.error})"
        votes = ", ".join(f"{answer} {share:.2f}" for answer, share in list(self.shares.items())[:3])
        return (
            f"Solved({self.question!r}: answer {self.answer!r}, confidence {self.confidence}, "
            f"{cost_line(self)} [{votes}])"
        )

    def _repr_html_(self) -> str:
        """The question, its answers by share, its best solution step by step, and the cost; all text is escaped."""
        if self.error is not None:
            return f"<b>{escape(self.question)}</b><br>could not be solved: {escape(self.error)}"
        answers = "".join(f"<tr><td>{escape(a)}</td><td>{share:.2f}</td></tr>" for a, share in self.shares.items())
        best = next((solution for solution in self.solutions if solution.answer == self.answer), None)
        steps = "" if best is None else "".join(
            f"<tr><td style='text-align:left'><code>{escape(step.strip())}</code></td><td>{score}</td></tr>"
            for step, score in zip(best.steps, _scores(best), strict=True)
        )  # fmt: skip
        return (
            f"<b>{escape(self.question)}</b><br>answer <b>{escape(str(self.answer))}</b>, confidence {self.confidence}"
            f"<table><tr><th>answer</th><th>share</th></tr>{answers}</table>"
            f"<table><tr><th>a solution with this answer</th><th>score</th></tr>{steps}</table>"
            f"<small>{cost_line(self)}</small>"
        )


def failed(question: str, error: str) -> Solved:
    """A question that the models could not answer."""
    return Solved(question, None, (), {}, {}, Confidence(0.0, 0.0), Ledger(), None, error)


def _scores(solution: Solution) -> Sequence[str]:
    return [""] * len(solution.steps) if solution.scores is None else [f"{s:.3f}" for s in solution.scores]


def cost_line(solved: Solved) -> str:
    """What the models had to do, in a few words."""
    cost, n = solved.cost, len(solved.solutions)
    prm = f", {cost.prm_tokens_computed:,} tokens scored" if cost.prm_calls else ""
    return f"{n} solution{'s' * (n != 1)}, {cost.generated_tokens:,} tokens generated{prm}"


async def judged(
    question: str, solutions: Sequence[Solution], aggregation: str | None, grader: Grader, cost: Ledger, tree: TreeView
) -> Solved:
    """The votes over a question's solutions. `aggregation` is that of the PRM's card, None without a PRM."""
    clusters = await cluster([solution.answer for solution in solutions], grader)
    scores = None if aggregation is None else [solution.scores or () for solution in solutions]
    chosen = all_votes(clusters, scores, aggregation or "")
    votes = {name: None if i is None else solutions[i].answer for name, i in chosen.items()}
    weights = headline_weights(clusters, scores, aggregation or "")
    if min(weights, default=0.0) < 0 or not sum(weights):
        weights = headline_weights(clusters, None, "")
    answers = {c: str(solutions[clusters.index(c)].answer) for c in clusters if c is not None}
    of_answer = {c: sum(w for w, own in zip(weights, clusters, strict=True) if own == c) for c in answers}
    ordered = sorted(answers, key=lambda c: -of_answer[c])
    shares = {answers[c]: of_answer[c] / sum(weights) for c in ordered}
    answer = votes[HEADLINE]
    share = shares.get(str(answer), 0.0)
    runner_up = max((other for name, other in shares.items() if name != answer), default=0.0)
    return Solved(
        question, answer, tuple(solutions), votes, shares, Confidence(share, share - runner_up), cost, tree
    )  # fmt: skip
