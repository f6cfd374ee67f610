"""The arguments that all search methods share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SearchOptions:
    """How to search one question. Raises ValueError, in one line, for a value that no method can use."""

    num_sequence: int = 1  # solutions (best_of_n), beams kept (beam_search), paths (vanila_mcts)
    width: int = 4  # samples drawn at an expansion
    depth: int = 40  # steps of a solution at most
    temperature: float = 0.7
    top_p: float = 1.0
    top_k: int = -1
    max_new_tokens: int = 2048  # of a whole solution
    max_step_tokens: int = 256  # of one step; a longer step is cut and marked
    seed: int = 0
    few_shot: bool = False
    pb_c_base: float = 19652.0  # MCTS: exploration constants of PUCT
    pb_c_init: float = 1.25

    def __post_init__(self) -> None:
        for name in ("num_sequence", "width", "depth", "max_new_tokens", "max_step_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.temperature < 0:
            raise ValueError(f"temperature must not be negative: {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, not {self.top_p}")
        if self.top_k == 0 or self.top_k < -1:
            raise ValueError(f"top_k must be -1 (off) or at least 1, not {self.top_k}")
        if self.pb_c_base <= 0 or self.pb_c_init < 0:
            raise ValueError(f"pb_c_base must be above 0 and pb_c_init not negative: {self.pb_c_base}, {self.pb_c_init}")
