"""Which rows of the slots are in use, and by which samples.

Samples of one prompt share a row as long as they have drawn the same tokens: what was computed for one holds for all.
When two draw different tokens, the row forks. Rows in use are always the first ones.
"""

from __future__ import annotations

import numpy as np

from reason.engine.slots import CHUNK, Block, Slots, round_up

WASTE = 1.1  # see `_sort`; a sort moves most rows, which costs about what some passes read


class Rows:
    """Book-keeping of at most as many rows as there are samples; arrays have an entry a row, `of` one a sample."""

    def __init__(self, slots: Slots, number: int, block: int) -> None:
        """`block`: neighbouring rows that are attended together, up to the longest of them."""
        self.slots, self.block = slots, block
        self.active = 0
        self.token = np.zeros(number, np.int64)  # the next input
        self.position = np.zeros(number, np.int64)  # where it is written; what is before it is in the slots
        self.users = np.zeros(number, np.int64)  # samples of the row
        self.of = np.zeros(number, np.int64)  # row of the sample

    def open(self, samples: slice, token: int, position: int) -> int:
        """A new row for some samples, which has yet to be filled up to `position`."""
        row = self.active
        self.token[row], self.position[row] = token, position
        self.users[row] = samples.stop - samples.start
        self.of[samples] = row
        self.active += 1
        return row

    def inputs(self, padded: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Block]]:
        """Ids, rows, positions [padded] and blocks of the next pass; rows that are not in use have token 0."""
        if self.active > self.block:
            self._sort()
        self.token[self.active : padded] = self.position[self.active : padded] = 0
        self.slots.reserve(padded, self.longest() + 1)
        ends = [(first, min(first + self.block, padded)) for first in range(0, padded, self.block)]
        blocks = [Block(a, b, round_up(int(self.position[a:b].max()) + 1, CHUNK)) for a, b in ends]
        return self.token[:padded], np.arange(padded), self.position[:padded], blocks

    def longest(self) -> int:
        """The largest position of all rows."""
        return int(self.position[: self.active].max(initial=0))

    def written(self) -> None:
        """A pass has written the token of every row."""
        self.position[: self.active] += 1

    def go_on(self, tokens: np.ndarray) -> None:
        """Take the next token of each sample [samples]; those of a row that drew different ones part."""
        rows = self.of[: len(tokens)]
        self.token[rows[::-1]] = tokens[::-1]  # where samples differ, that of the first
        parting = np.flatnonzero(tokens != self.token[rows])
        if not len(parting):
            return
        branches = dict.fromkeys(zip(rows[parting].tolist(), tokens[parting].tolist()))
        self.slots.reserve(self.active + len(branches), self.longest() + 1)
        for row, token in branches:
            new = self.open(slice(0, 0), token, int(self.position[row]))
            self.slots.copy(row, slice(new, new + 1), slice(0, int(self.position[row])))
            mine = parting[(rows[parting] == row) & (tokens[parting] == token)]
            self.of[mine] = new
            self.users[new], self.users[row] = len(mine), self.users[row] - len(mine)

    def leave(self, sample: int, last: int) -> None:
        """A sample has ended, and the last one takes its number; a row that nobody uses any more is freed."""
        row = int(self.of[sample])
        self.of[sample] = self.of[last]
        self.users[row] -= 1
        if not self.users[row]:
            self._free(row, last)

    def clear(self) -> None:
        """Give up all rows."""
        self.active = 0
        self.slots.clear()

    def _free(self, row: int, samples: int) -> None:
        """Give up a row: the last one takes its place."""
        last = self.active - 1
        if row != last:
            self._move(last, row, samples)
        self.active = last

    def _sort(self) -> None:
        """Bring the longest rows to the front where blocks of mixed rows would read WASTE times what sorted ones do."""
        position = self.position[: self.active]
        order = np.argsort(-position, kind="stable")
        if self._read(position) <= WASTE * self._read(position[order]):
            return
        self.slots.permute(order, position)
        for array in (self.token, self.position, self.users):
            array[: self.active] = array[order]
        now = np.arange(len(self.of))  # where each row is now
        now[order] = np.arange(self.active)
        self.of = now[self.of]

    def _read(self, position: np.ndarray) -> int:
        """Tokens that a pass reads of rows in this order: each block up to its longest."""
        longest = np.maximum.reduceat(position, np.arange(0, len(position), self.block))
        return int((longest // CHUNK + 1).sum())

    def _move(self, source: int, target: int, samples: int) -> None:
        """Let a row go on in another one."""
        self.slots.copy(source, slice(target, target + 1), slice(0, int(self.position[source])))
        for array in (self.token, self.position, self.users):
            array[target] = array[source]
        users = self.of[:samples]
        users[users == source] = target
