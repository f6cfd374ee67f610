"""Labelling every step of sampled solutions by rollouts (Math-Shepherd; Wang et al., 2024)."""

from __future__ import annotations

from data.omegaprm.search import SearchedSolution
from data.omegaprm.tree import McRollout, Prefix, RolloutTree


async def all_steps(tree: RolloutTree) -> list[SearchedSolution]:
    """k rollouts from every step of the first `num_solutions` distinct solutions, all in flight together.

    Hard estimation is c > 0, soft estimation c/k. The last step is graded, not estimated. Where the budget ends first,
    the later solutions' later steps stay without a label. Cut solutions are not labelled. Steps that solutions
    share are estimated once.
    """
    sampled = {rollout.steps: rollout for rollout in tree.root.rollouts if rollout.steps and not rollout.cut}
    chosen = list(sampled.values())[: tree.options.num_solutions]
    points: dict[Prefix, McRollout] = {}
    for rollout in chosen:
        for n in range(1, len(rollout.steps)):
            points.setdefault(rollout.steps[:n], rollout)
    await tree.estimate(points)
    return [SearchedSolution(rollout, *_ends(tree, rollout)) for rollout in chosen]


def _ends(tree: RolloutTree, rollout: McRollout) -> tuple[int, int | None]:
    """The steps before the first that is not known right, and where the first wrong one ends."""
    steps = rollout.steps
    if rollout.right:
        return len(steps), None
    known = [tree.points[steps[:n]].c > 0 if _estimated(tree, steps[:n]) else None for n in range(1, len(steps))]
    known.append(False)
    right = next(i for i, value in enumerate(known) if not value)
    return right, known.index(False) + 1


def _estimated(tree: RolloutTree, prefix: Prefix) -> bool:
    return prefix in tree.points and tree.points[prefix].k > 0
