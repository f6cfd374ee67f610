"""How to label: the constants of OmegaPRM by name, and what every way of labelling shares."""

from __future__ import annotations

from dataclasses import dataclass

from reason.inference.base import Sampling

# What differs from `Options`, by the name of who published it.
PRESETS: dict[str, dict[str, object]] = {
    "default": {},
    # Luo et al., 2024, section 4: k = 8, L in tokens, 100 searches, questions filtered by 32 rollouts
    "paper": {"num_rollouts": 8, "root_rollouts": 32, "max_search_count": 100, "rollout_budget": 4000,
              "length_scale": 500.0},
    # openreasoner/openr, run_omegaprm.py: k = 16, L in words, 20 searches, 200 rollouts, filtered by 32 rollouts
    "openr": {"root_rollouts": 32, "length_scale": 500.0, "length_unit": "words", "temperature": 0.7, "top_p": 0.9,
              "top_k": 30, "max_new_tokens": 2048},
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How to label one question. Raises ValueError, in one line, for a value that cannot be used."""

    method: str = "omegaprm"  # or "all_steps": Math-Shepherd's rollouts from every step
    num_rollouts: int = 16  # k, completions from a point
    root_rollouts: int | None = None  # completions of the bare question, the filter; None: k
    max_search_count: int = 20  # solutions searched for their first error
    num_solutions: int = 4  # all_steps: distinct solutions whose every step is labelled
    rollout_budget: int = 200  # completions of a question, never more
    alpha: float = 0.5
    beta: float = 0.9
    length_scale: float | None = None  # L; None: the median length of the question's own rollouts
    length_unit: str = "tokens"  # or "words"
    c_puct: float = 0.125
    paths_in_flight: int = 1  # solutions of a question that are searched side by side, in lockstep
    # A point that a right rollout passes through is right: spend no rollouts on it. About twice the labelled steps, but
    # the pool then grows at doubtful points only, so later searches start more often from a wrong state that was lucky.
    reuse_rollouts: bool = False
    hard_label: str = "any"  # a point is right when c > 0 ("any"), or when c/k > 0.5 ("half", OpenR's converter)
    early_stop: bool = False  # stop sampling a point once its label is decided
    wave: int = 4  # completions between two looks at the decision
    error: float = 0.05  # chance of a wrong decision at a point
    least_value: float = 0.2  # a value below this may be called 0
    temperature: float = 0.7
    top_p: float = 1.0
    top_k: int = -1
    max_new_tokens: int = 2048  # of a whole solution
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("num_rollouts", "max_search_count", "num_solutions", "rollout_budget", "paths_in_flight", "wave")
        for name in (*counts, "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.first_rollouts < 2:
            raise ValueError("root_rollouts must be at least 2: one rollout cannot be right and wrong")
        if self.first_rollouts > self.rollout_budget:
            raise ValueError(f"rollout_budget {self.rollout_budget} is below the question's own {self.first_rollouts}")
        if self.temperature <= 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}: equal rollouts estimate nothing")
        for name in ("alpha", "beta", "top_p"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, not {getattr(self, name)}")
        if self.length_scale is not None and self.length_scale <= 0:
            raise ValueError(f"length_scale must be above 0, not {self.length_scale}")
        if self.c_puct < 0:
            raise ValueError(f"c_puct must not be negative: {self.c_puct}")
        Sampling(self.temperature, self.top_p, self.top_k, self.max_new_tokens)
        if not (0 < self.error < 1 and 0 < self.least_value < 1):
            raise ValueError(f"error and least_value must lie between 0 and 1: {self.error}, {self.least_value}")

    @property
    def first_rollouts(self) -> int:
        """Completions of the bare question."""
        return self.num_rollouts if self.root_rollouts is None else self.root_rollouts
