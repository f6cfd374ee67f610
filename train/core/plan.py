"""What each update learns from, and in which forward passes: a function of the update's number alone.

An update is a fixed number of examples, drawn without replacement epoch by epoch. They go through the model in passes
of like length and of at most a number of padded tokens, dealt out to the processes so that each has equally many. The
loss of the update is one mean over all its labelled places, so the passes change its speed and memory and nothing else.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from reason.engine.plan import batches

# Lengths are rounded up to multiples of this: a CPU's matrix library prepares itself anew for each shape, and a GPU's
# is fastest on such shapes.
MULTIPLE = 16


@dataclass(frozen=True, slots=True)
class Example:
    """One input of the model; the last three have one element for each place that is learnt: a step's score, or a
    token's successor."""

    ids: array[int]  # tokens, up to the last score
    positions: tuple[int, ...]
    targets: tuple[float, ...]  # in [0, 1]
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Pass:
    """What a model reads in one forward pass, and the places whose output counts."""

    input_ids: Tensor  # [rows, length], padded on the right, where no causal model's real token can see it
    rows: Tensor  # [places]
    positions: Tensor  # [places]

    @property
    def next_tokens(self) -> Tensor:
        """[places], the token behind each place."""
        return self.input_ids[self.rows, self.positions + 1]


@dataclass(frozen=True)
class LabelledPass(Pass):
    """A pass of examples. It has no place where a process has no share."""

    targets: Tensor  # [places], fp32
    weights: Tensor  # [places], fp32
    tokens: int  # without padding

    def to(self, device: torch.device) -> LabelledPass:
        """The same on another device."""
        tensors = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("input_ids", "rows", "positions", "targets", "weights")
        }
        return replace(self, **tensors)


@dataclass(frozen=True)
class UpdateShare:
    """One process's share of an update."""

    passes: list[LabelledPass]
    weight: float  # of the places of all processes together


@dataclass
class Plan:
    """All updates of a training on `world` processes."""

    examples: Sequence[Example]
    update_size: int  # examples an update
    batch_tokens: int  # padded tokens a forward pass
    seed: int = 0
    world: int = 1
    max_rows: int | None = None  # of a forward pass

    @property
    def per_epoch(self) -> int:
        """Updates an epoch; the last one may have fewer examples."""
        return -(-len(self.examples) // self.update_size)

    def summary(self, what: str) -> str:
        """How much is learnt, in a line."""
        tokens, learnt = (sum(len(part) for part in parts) for parts in
                          ([e.ids for e in self.examples], [e.targets for e in self.examples]))  # fmt: skip
        return (f"{len(self.examples):,} {what} of {tokens:,} tokens, of which {learnt:,} are learnt; "
                f"{self.per_epoch} updates an epoch")  # fmt: skip

    def update(self, number: int, rank: int = 0) -> UpdateShare:
        """The share of process `rank` in update `number`, from 0 through all epochs."""
        chosen = self.chosen(number)
        weight = sum(sum(self.examples[i].weights) for i in chosen)
        own = self.passes(chosen)[rank :: self.world]
        return UpdateShare([collate([self.examples[i] for i in one]) for one in own], weight)

    def chosen(self, number: int) -> list[int]:
        """The examples of an update, by index."""
        epoch, place = divmod(number, self.per_epoch)
        order = shuffled(len(self.examples), self.seed, epoch)
        return list(order[place * self.update_size : (place + 1) * self.update_size])

    def passes(self, chosen: Sequence[int]) -> list[list[int]]:
        """The examples of an update by forward pass, largest first, equally many for each process."""
        lengths = [padded(len(self.examples[i].ids)) for i in chosen]
        found = [
            [chosen[i] for i in batch[start : start + (self.max_rows or len(batch))]]
            for batch in batches(lengths, self.batch_tokens)
            for start in range(0, len(batch), self.max_rows or len(batch))
        ]
        while len(found) % self.world:
            largest = max(found, key=len)
            if len(largest) < 2:
                found.append([])
                continue
            found.remove(largest)
            found += [largest[: len(largest) // 2], largest[len(largest) // 2 :]]
        return sorted(found, key=lambda one: -sum(len(self.examples[i].ids) for i in one))


@lru_cache(2)
def shuffled(count: int, seed: int, epoch: int) -> array[int]:
    """0 ... count - 1 in the epoch's order."""
    order = list(range(count))
    random.Random(f"{seed} {epoch}").shuffle(order)
    return array("l", order)


def padded(length: int) -> int:
    """The length that an input has in a forward pass where it is the longest."""
    return -(-length // MULTIPLE) * MULTIPLE


def collate(examples: Sequence[Example]) -> LabelledPass:
    """One forward pass of these examples."""
    length = padded(max((len(e.ids) for e in examples), default=1))
    ids = torch.zeros(max(len(examples), 1), length, dtype=torch.long)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids, dtype=torch.long)
    counts = torch.tensor([len(e.positions) for e in examples], dtype=torch.long)
    return LabelledPass(
        ids,
        torch.arange(len(examples)).repeat_interleave(counts),
        torch.tensor([p for e in examples for p in e.positions], dtype=torch.long),
        torch.tensor([t for e in examples for t in e.targets], dtype=torch.float32),
        torch.tensor([w for e in examples for w in e.weights], dtype=torch.float32),
        sum(len(e.ids) for e in examples),
    )
