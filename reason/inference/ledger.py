"""What a question cost. Every LM, PRM and grader call adds to the ledger of its question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass
class Ledger:
    """Counts and seconds of one question, or sums of them over a run. Seconds are of waiting for the reply."""

    lm_calls: int = 0
    prompt_tokens: int = 0  # of the prompts, once a call however many samples it draws
    prompt_tokens_reused: int = 0  # of these, what the worker had computed before; the rest was prefilled
    generated_tokens: int = 0
    prm_calls: int = 0
    prm_tokens_computed: int = 0
    prm_tokens_reused: int = 0
    seconds_generating: float = 0.0
    seconds_scoring: float = 0.0
    seconds_grading: float = 0.0
    cut_by_tokens: int = 0  # 1: the search ended at the question's limit of tokens; in a sum, how many did
    cut_by_seconds: int = 0  # the same for seconds

    @classmethod
    def of(cls, stated: Mapping[str, Any]) -> Ledger:
        """The ledger of a record, of an older version too: names that a ledger no longer has are left out."""
        return cls(**{field.name: stated[field.name] for field in fields(cls) if field.name in stated})

    def add(self, other: Ledger) -> None:
        """Add `other`, field by field."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def to_json(self) -> dict[str, float]:
        """Plain numbers, seconds rounded to the millisecond."""
        return {name: round(value, 3) for name, value in asdict(self).items()}
