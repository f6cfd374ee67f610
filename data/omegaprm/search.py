"""OmegaPRM (Luo et al., 2024): binary search for the first error of one wrong rollout after another."""

from __future__ import annotations

import math
from dataclasses import dataclass

from data.omegaprm.tree import McRollout, Point, Prefix, RolloutTree


@dataclass(eq=False)
class SearchedSolution:
    """A solution being labelled. Its first `right` steps are known right, its first `wrong` steps wrong."""

    rollout: McRollout
    right: int
    wrong: int | None  # None: the solution is right

    @property
    def first_error(self) -> int | None:
        """Index of the first wrong step; None: there is none, or it was not found within the budget."""
        return self.right if self.wrong == self.right + 1 else None


async def omegaprm(tree: RolloutTree) -> list[SearchedSolution]:
    """Search wrong rollouts, the best by Q + U first, until the pool, the searches or the budget end.

    The root is estimated already, with 0 < MC < 1. MC(mid) = 0 goes left, else right: about log2(n) points of k
    rollouts for n steps. Rollouts made on the way join the pool.
    """
    options, searched = tree.options, list[SearchedSolution]()
    while len(searched) < options.max_search_count and tree.can_estimate:
        batch = []
        for _ in range(min(options.paths_in_flight, options.max_search_count - len(searched))):
            selected = select(tree)
            if selected is not None:
                point, rollout = selected
                batch.append(SearchedSolution(rollout, right=len(point.steps), wrong=len(rollout.steps)))
        if not batch:
            break
        searched += batch
        while middles := {middle: solution.rollout for solution in batch if (middle := narrow(tree, solution))}:
            if not await tree.estimate(middles):
                break  # the budget is spent, or the grader cannot decide on these points
    return searched


def narrow(tree: RolloutTree, solution: SearchedSolution) -> Prefix | None:
    """Halve the solution by what is known; the prefix that needs rollouts, or None when the first error is found."""
    assert solution.wrong is not None
    steps = solution.rollout.steps
    while solution.wrong - solution.right > 1:
        middle = (solution.right + solution.wrong) // 2
        known = tree.known(steps[:middle])
        if known is None:
            return steps[:middle]
        if known:
            solution.right = middle
        else:
            solution.wrong = middle
    tree.wrong.add(steps[: solution.wrong])
    return None


# Which wrong rollout is searched next: Q + U over the pool (section 3.3).


def Q(MC: float, length: float, L: float, alpha: float, beta: float) -> float:
    """Q(s, r) = alpha^(1 - MC(s)) * beta^(len(r) / L): a likely right state with a short wrong rollout comes first."""
    return float(alpha ** (1 - MC) * beta ** (length / L))


def U(N: int, sum_N: int, c_puct: float) -> float:
    """U(s) = c_puct * sqrt(sum_i N(s_i)) / (1 + N(s)), the sum over all states of the tree."""
    return c_puct * math.sqrt(sum_N) / (1 + N)


def score(tree: RolloutTree, point: Point, rollout: McRollout, sum_N: int) -> float:
    """Q(s, r) + U(s), with the visit counts of this moment."""
    options = tree.options
    return Q(point.MC, tree.length(rollout), tree.L, options.alpha, options.beta) + U(point.N, sum_N, options.c_puct)


def select(tree: RolloutTree) -> tuple[Point, McRollout] | None:
    """Take the (s, r) of greatest Q + U out of the pool, the oldest of equal ones, and count N(s); None: no more."""
    if not tree.pool:
        return None
    sum_N = sum(point.N for point in tree.points.values())
    scores = [score(tree, point, rollout, sum_N) for point, rollout in tree.pool]
    point, rollout = tree.pool.pop(scores.index(max(scores)))
    point.N += 1
    return point, rollout
