"""OmegaPRM (Luo et al., 2024): binary search for the first error of one wrong rollout after another."""

from __future__ import annotations

from dataclasses import dataclass

from data.omegaprm.selection import select
from data.omegaprm.states import Prefix, Rollout, RolloutTree


@dataclass(eq=False)
class Path:
    """A solution being labelled. Its first `right` steps are known right, its first `wrong` steps wrong."""

    rollout: Rollout
    right: int
    wrong: int | None  # None: the solution is right

    @property
    def first_error(self) -> int | None:
        """Index of the first wrong step; None: there is none, or it was not found within the budget."""
        return self.right if self.wrong == self.right + 1 else None


async def omegaprm(tree: RolloutTree) -> list[Path]:
    """Search wrong rollouts, the best by Q + U first, until the pool, the searches or the budget end.

    The root is estimated already, with 0 < MC < 1. MC(mid) = 0 goes left, else right: about log2(n) points of k
    rollouts for n steps. Rollouts made on the way join the pool.
    """
    options, paths = tree.options, list[Path]()
    while len(paths) < options.max_search_count and tree.can_estimate:
        batch = []
        for _ in range(min(options.paths_in_flight, options.max_search_count - len(paths))):
            chosen = select(tree)
            if chosen is not None:
                state, rollout = chosen
                batch.append(Path(rollout, right=len(state.steps), wrong=len(rollout.steps)))
        if not batch:
            break
        paths += batch
        while points := {point: path.rollout for path in batch if (point := narrow(tree, path))}:
            if not await tree.estimate(points):
                break  # the budget is spent, or the grader cannot decide on these points
    return paths


def narrow(tree: RolloutTree, path: Path) -> Prefix | None:
    """Halve the path by what is known; the prefix that needs rollouts, or None when the first error is found."""
    assert path.wrong is not None
    steps = path.rollout.steps
    while path.wrong - path.right > 1:
        middle = (path.right + path.wrong) // 2
        known = tree.known(steps[:middle])
        if known is None:
            return steps[:middle]
        if known:
            path.right = middle
        else:
            path.wrong = middle
    tree.wrong.add(steps[: path.wrong])
    return None
