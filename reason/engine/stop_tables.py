"""What each token means for the end of a sample: a table over the vocabulary for each way that requests ask to stop.

With it one array look-up for all samples says which of them have ended, and of which the text must be looked at.
"""

from __future__ import annotations

import numpy as np
from transformers import PreTrainedTokenizerBase

from reason.engine.request import GenerateRequest

END, MAYBE = 1, 2  # what a sampled token may mean: the sample ends; a stop text may be complete
MAX_TABLES = 64


class StopTables:
    """Tables of the requests so far; requests that stop alike share one."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocabulary: int, end_ids: set[int]) -> None:
        """`vocabulary`: of the model, which may have more tokens than the tokenizer."""
        self.tokenizer, self.vocabulary, self.end_ids = tokenizer, vocabulary, end_ids
        self.meanings = np.zeros((0, vocabulary), np.uint8)
        self.numbers: dict[tuple, int] = {}  # row of `meanings`
        self.pieces: list[str] | None = None  # the text of each token

    def number(self, request: GenerateRequest, idle: bool) -> int:
        """The number of the request's table. `idle`: no number told before is in use, so a full store is emptied."""
        key = (request.stop, request.stop_token_ids, request.ignore_eos)
        if key not in self.numbers:
            if len(self.numbers) >= MAX_TABLES and idle:
                self.numbers.clear()
                self.meanings = self.meanings[:0]
            self.numbers[key] = len(self.meanings)
            self.meanings = np.concatenate([self.meanings, self._table(request)[None]])
        return self.numbers[key]

    def look_up(self, numbers: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """END, MAYBE or 0 for each sample, uint8 [samples], from their tables' numbers and their last tokens."""
        return self.meanings[numbers, tokens]

    def _table(self, request: GenerateRequest) -> np.ndarray:
        """The meaning of each token, uint8 [vocabulary]."""
        meaning = np.zeros(self.vocabulary, np.uint8)
        if request.stop:
            meaning[self._completing(request.stop)] = MAYBE
        end_ids = set() if request.ignore_eos else self.end_ids
        meaning[[i for i in end_ids | set(request.stop_token_ids) if 0 <= i < self.vocabulary]] = END
        return meaning

    def _completing(self, stop: tuple[str, ...]) -> list[int]:
        """Tokens whose text has the last character of a stop text: only behind these is a text looked at."""
        if self.pieces is None:  # twice each: the first token of a text may lose its leading space
            pairs = [[i, i] for i in range(min(len(self.tokenizer), self.vocabulary))]
            self.pieces = self.tokenizer.batch_decode(pairs, clean_up_tokenization_spaces=False)
        last = {text[-1] for text in stop}
        if any(char > "\x7f" for char in last):
            last.add("\ufffd")  # a part of a character
        return [i for i, piece in enumerate(self.pieces) if not last.isdisjoint(piece)]
