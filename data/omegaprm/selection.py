"""Which wrong rollout is searched next: Q + U over the pool (Luo et al., 2024, section 3.3)."""

from __future__ import annotations

import math

from data.omegaprm.states import Rollout, RolloutTree, State


def Q(MC: float, length: float, L: float, alpha: float, beta: float) -> float:
    """Q(s, r) = alpha^(1 - MC(s)) * beta^(len(r) / L): a likely right state with a short wrong rollout comes first."""
    return alpha ** (1 - MC) * beta ** (length / L)


def U(N: int, sum_N: int, c_puct: float) -> float:
    """U(s) = c_puct * sqrt(sum_i N(s_i)) / (1 + N(s)), the sum over all states of the tree."""
    return c_puct * math.sqrt(sum_N) / (1 + N)


def score(tree: RolloutTree, state: State, rollout: Rollout, sum_N: int) -> float:
    """Q(s, r) + U(s), with the visit counts of this moment."""
    options = tree.options
    return Q(state.MC, tree.length(rollout), tree.L, options.alpha, options.beta) + U(state.N, sum_N, options.c_puct)


def select(tree: RolloutTree) -> tuple[State, Rollout] | None:
    """Take the (s, r) of greatest Q + U out of the pool, the oldest of equal ones, and count N(s); None: no more."""
    if not tree.pool:
        return None
    sum_N = sum(state.N for state in tree.states.values())
    scores = [score(tree, state, rollout, sum_N) for state, rollout in tree.pool]
    state, rollout = tree.pool.pop(scores.index(max(scores)))
    state.N += 1
    return state, rollout
