"""Solutions -> the answer: OpenR's five votes and the weighted vote.

Answers are compared by the task's grader, so 0.5 and 1/2 are one answer; a solution without an answer never votes.
"""

from __future__ import annotations

from collections.abc import Sequence

from envs.base_env import Grader
from reason.reranking.aggregate import aggregate

MAJORITY = "majority_vote"
HEADLINE = "headline"
TIE = 1e-6  # weights this close are equal: a PRM's last bits depend on what shared its batch
VOTES: dict[str, tuple[str, bool] | None] = {  # name -> (aggregate, whether scores are summed over equal answers)
    MAJORITY: None,
    "prm_min_max": ("min", False),
    "prm_min_vote": ("min", True),
    "prm_last_max": ("last", False),
    "prm_last_vote": ("last", True),
}


async def cluster(answers: Sequence[str | None], grader: Grader) -> list[int | None]:
    """Number the distinct answers 0, 1, ... in order of appearance; None for no answer.

    Answers that the grader cannot decide about are taken as different.
    """
    known: dict[str, int] = {}
    representatives: list[str] = []
    for answer in answers:
        if answer is None or answer in known:
            continue
        for index, other in enumerate(representatives):
            if (await grader.equal(other, answer)).equal:
                known[answer] = index
                break
        else:
            known[answer] = len(representatives)
            representatives.append(answer)
    return [None if answer is None else known[answer] for answer in answers]


def vote(name: str, clusters: Sequence[int | None], scores: Sequence[Sequence[float]] | None) -> int | None:
    """Index of a solution that holds the answer chosen by the vote `name` of VOTES; None when no answer was given.

    `scores` holds each solution's step scores; the majority vote does not look at them. Ties go to the answer
    that appeared first.
    """
    rule = VOTES[name]
    if rule is None:
        return weighted_vote(clusters, [1.0] * len(clusters))
    if scores is None:
        raise ValueError(f"{name} needs step scores")
    how, summed = rule
    weights = [aggregate(s, how) if c is not None else 0.0 for s, c in zip(scores, clusters, strict=True)]
    if summed:
        return weighted_vote(clusters, weights)
    return first_best({i: weights[i] for i, c in enumerate(clusters) if c is not None})


def all_votes(
    clusters: Sequence[int | None], scores: Sequence[Sequence[float]] | None, aggregation: str
) -> dict[str, int | None]:
    """What each vote chooses, as `vote` says it: all of VOTES and the headline, or without scores the majority alone.

    The headline is the weighted vote with `aggregation`, or the majority.
    """
    if scores is None:
        majority = vote(MAJORITY, clusters, None)
        return {MAJORITY: majority, HEADLINE: majority}
    votes = {name: vote(name, clusters, scores) for name in VOTES}
    return votes | {HEADLINE: weighted_vote(clusters, headline_weights(clusters, scores, aggregation))}


def headline_weights(
    clusters: Sequence[int | None], scores: Sequence[Sequence[float]] | None, aggregation: str
) -> list[float]:
    """What each solution weighs in the headline vote; 0 without an answer."""
    if scores is None:
        return [float(c is not None) for c in clusters]
    return [0.0 if c is None else aggregate(s, aggregation) for s, c in zip(scores, clusters, strict=True)]


def weighted_vote(clusters: Sequence[int | None], weights: Sequence[float]) -> int | None:
    """argmax over answers a of the sum of w_i over solutions i with answer a (Li et al., 2023)."""
    totals: dict[int, float] = {}
    first: dict[int, int] = {}
    for i, c in enumerate(clusters):
        if c is not None:
            totals[c] = totals.get(c, 0.0) + weights[i]
            first.setdefault(c, i)
    best = first_best(totals)
    return None if best is None else first[best]


def first_best(weights: dict[int, float]) -> int | None:
    """The first key whose weight is the greatest, up to TIE; None when there is none."""
    greatest = max(weights.values(), default=0.0)
    return next((key for key, weight in weights.items() if weight >= greatest - TIE), None)
