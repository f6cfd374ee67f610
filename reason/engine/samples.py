"""The samples under way in the transformers engine: a record each, the first ones of an array, with their tokens."""

from __future__ import annotations

import numpy as np

from reason.engine.jobs import Job

SAMPLE = np.dtype([
    ("seed", np.uint64),
    ("count", np.int64),  # tokens generated
    ("limit", np.int64),  # of them
    ("length", np.int64),  # most tokens that its row can hold
    ("logprob", np.float64),  # of the tokens so far
    ("temperature", np.float32),
    ("top_p", np.float32),
    ("top_k", np.int64),
    ("table", np.int64),  # its number in `StopTables`
])  # fmt: skip


class Samples:
    """Room for `capacity` of them. One that ends gives its number to the last one."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.records = np.zeros(capacity, SAMPLE)
        self.tokens = np.zeros((capacity, 0), np.int64)  # the generated ones, as many as `count` says
        self.jobs: list[tuple[Job, int]] = []  # of each sample its job, and its index there

    @property
    def active(self) -> int:
        """How many are under way."""
        return len(self.jobs)

    @property
    def live(self) -> np.ndarray:
        """Their records, a view."""
        return self.records[: len(self.jobs)]

    def add(self, job: Job, number: int, table: int) -> None:
        """`number` samples of a job, the last ones that it has started. Raises OverflowError."""
        request, begin, first = job.request, self.active, job.started - number
        new = self.records[begin : begin + number]
        new["seed"] = np.array(request.seeds[first : first + number], np.uint64)
        new["limit"], new["length"] = request.max_tokens, job.length
        new["count"] = new["logprob"] = 0
        new["temperature"], new["top_p"], new["top_k"] = request.temperature, request.top_p, request.top_k
        new["table"] = table
        self.jobs.extend((job, first + i) for i in range(number))

    def append(self, tokens: np.ndarray, logprobs: np.ndarray) -> None:
        """The next token of each sample [active] and its log-probability."""
        live = self.live
        count = live["count"]
        if count.max() >= self.tokens.shape[1]:
            self.tokens = np.pad(self.tokens, ((0, 0), (0, max(64, self.tokens.shape[1]))))
        self.tokens[np.arange(self.active), count] = tokens
        live["count"] += 1
        live["logprob"] += logprobs

    def ids(self, sample: int) -> list[int]:
        """The tokens generated so far."""
        return self.tokens[sample, : self.records["count"][sample]].tolist()

    def drop(self, sample: int) -> int:
        """End a sample; the last one, whose number is returned, takes its place."""
        last = self.active - 1
        self.records[sample], self.tokens[sample] = self.records[last], self.tokens[last]
        self.jobs[sample] = self.jobs[last]
        self.jobs.pop()
        return last

    def clear(self) -> None:
        """Give up all of them."""
        self.jobs.clear()
