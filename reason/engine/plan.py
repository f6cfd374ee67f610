"""What to compute together, and what not to compute twice. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def owners(sequences: Sequence[tuple[int, ...]]) -> list[int]:
    """For each token sequence the index of one that starts with it, itself where none is longer; equal ones share.

    A causal model's scores of a prefix are the first scores of the longer input, so only owners are computed.
    In sorted order a prefix stands right before a sequence that starts with it.
    """
    order = sorted(range(len(sequences)), key=lambda i: sequences[i])
    owner = list(range(len(sequences)))
    for index, following in reversed(list(pairwise(order))):
        tokens = sequences[index]
        if sequences[following][: len(tokens)] == tokens:
            owner[index] = owner[following]
    return owner


def batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Indices grouped by like length, longest first; a batch, padded to its longest, has at most `token_budget` tokens.

    An input that is longer by itself makes a batch of one.
    """
    grouped: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if grouped and lengths[grouped[-1][0]] * (len(grouped[-1]) + 1) <= token_budget:
            grouped[-1].append(index)
        else:
            grouped.append([index])
    return grouped


def nearest(lengths: Sequence[int], token_budget: int) -> list[int]:
    """The first index and those nearest to it in length that, padded to the longest, fit `token_budget` with it."""
    chosen: list[int] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: abs(lengths[i] - lengths[0])):
        longest = max(longest, lengths[index])
        if chosen and longest * (len(chosen) + 1) > token_budget:
            break
        chosen.append(index)
    return chosen
