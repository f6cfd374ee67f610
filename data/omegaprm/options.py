"""How to label: the constants of OmegaPRM by name, and what every way of labelling shares."""

from __future__ import annotations

from dataclasses import dataclass

from reason.common.errors import UserError
from reason.common.options import check, option

# What differs from `LabelOptions`, by the name of who published it.
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
class LabelOptions:
    """How to label one question. Raises UserError, in one line, for a value that cannot be used."""

    method: str = option(
        "omegaprm", "all_steps: Math-Shepherd's rollouts from every step", choices=("omegaprm", "all_steps")
    )
    num_rollouts: int = option(16, "k, rollouts from a point", metavar="K", least=1)
    root_rollouts: int | None = option(
        None, "rollouts of the bare question, which filter it; default k", metavar="N", least=2
    )  # one rollout cannot be right and wrong
    max_search_count: int = option(20, "solutions of a question searched for their first error", metavar="N", least=1)
    num_solutions: int = option(
        4, "all_steps: distinct solutions of a question whose every step is labelled", metavar="N", least=1
    )
    rollout_budget: int = option(200, "rollouts of a question, a hard cap", metavar="N", least=1)
    alpha: float = option(0.5, "of Q", above=0, most=1)
    beta: float = option(0.9, "of Q", above=0, most=1)
    length_scale: float | None = option(
        None, "L of Q; default the median rollout of the question", metavar="L", above=0
    )
    length_unit: str = option("tokens", "of rollouts and of L", choices=("tokens", "words"))
    c_puct: float = option(0.125, "of U", least=0)
    paths_in_flight: int = option(1, "solutions of a question searched side by side, in lockstep", metavar="N", least=1)
    # About twice the labelled steps, but the pool then grows at doubtful points only, so later searches start more
    # often from a wrong state that was lucky.
    reuse_rollouts: bool = option(False, "a point that a right rollout passes is right and costs nothing")
    hard_label: str = option(
        "any", "a point is right when c > 0 (any), or when c/k > 0.5 (half)", choices=("any", "half")
    )
    early_stop: bool = option(False, "stop sampling a point once its label is decided")
    wave: int = option(4, "early_stop: rollouts between two looks", metavar="N", least=1)
    error: float = option(0.05, "early_stop: chance of a wrong decision", metavar="P", above=0)
    least_value: float = option(0.2, "early_stop: a value below it may be called 0", metavar="V", above=0)
    # equal rollouts estimate nothing
    temperature: float = option(0.7, "of sampling; the LM card's own comes first", metavar="T", above=0)
    top_p: float = option(1.0, "of sampling; the LM card's own comes first", metavar="P", above=0, most=1)
    top_k: int = option(-1, "of sampling, -1 is off; the LM card's own comes first", metavar="K", least=-1)
    max_new_tokens: int = option(2048, "tokens of a whole solution; the task's own comes first", metavar="N", least=1)
    seed: int = option(0, "of all sampling")

    def __post_init__(self) -> None:
        check(self)
        if self.first_rollouts < 2:
            raise UserError("root_rollouts must be at least 2: one rollout cannot be right and wrong")
        if self.first_rollouts > self.rollout_budget:
            raise UserError(f"rollout_budget {self.rollout_budget} is below the question's own {self.first_rollouts}")
        if self.top_k == 0:
            raise UserError("top_k must be -1 (off) or at least 1, not 0")
        for name in ("error", "least_value"):
            if getattr(self, name) >= 1:
                raise UserError(f"{name} must be below 1, not {getattr(self, name)}")

    @property
    def first_rollouts(self) -> int:
        """Rollouts of the bare question."""
        return self.num_rollouts if self.root_rollouts is None else self.root_rollouts
