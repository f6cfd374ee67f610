"""Signs that the policy learns to please the reward instead of solving problems (Gao et al., 2023; Cheng et al., 2025).

Means over the last `WINDOW` updates are compared with those over the first: solutions that grow or shrink, in tokens or
in steps, and a PRM reward that rises while accuracy falls. A sign is told again only after `WINDOW` more updates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

WINDOW = 10  # updates
DRIFT = 1.5  # factor of length or steps
RISE, FALL = 0.02, 0.02  # of the mean step score and of accuracy


WITHOUT_GRADIENT = (
    "the solutions of each question were rewarded alike; take questions of another difficulty (--level, "
    "--dataset_path), a higher --temperature, a larger --group_size, or a reward that differs (--prm_name_or_path)"
)


@dataclass
class Guards:
    """Fed once an update."""

    history: list[dict[str, float]] = field(default_factory=list)
    told: dict[str, int] = field(default_factory=dict)  # sign -> update

    def check(self, metrics: Mapping[str, float]) -> list[str]:
        """Note the metrics of an update; returns the warnings that are due."""
        names = ("accuracy", "prm_score", "length", "steps", "with_gradient")
        self.history.append({name: metrics[name] for name in names if name in metrics})
        now = len(self.history)
        found = self._drift() if now >= 2 * WINDOW else {}
        if metrics.get("with_gradient") == 0:
            found["no gradient"] = f"nothing was learnt: {WITHOUT_GRADIENT}"
        due = [sign for sign in found if now - self.told.get(sign, -WINDOW) >= WINDOW]
        self.told |= dict.fromkeys(due, now)
        return [found[sign] for sign in due]

    def _drift(self) -> dict[str, str]:
        """Signs of the last updates against the first."""
        first, last = self.history[:WINDOW], self.history[-WINDOW:]
        found = {}
        for name, unit in (("length", "tokens"), ("steps", "steps")):
            before, after = _mean(first, name), _mean(last, name)
            if not before / DRIFT <= after <= before * DRIFT:
                found[name] = f"solutions went from {before:.1f} to {after:.1f} {unit}: does the reward pay for that?"
        if "prm_score" in last[-1]:
            prm, accuracy = [(_mean(first, name), _mean(last, name)) for name in ("prm_score", "accuracy")]
            if prm[1] > prm[0] + RISE and accuracy[1] < accuracy[0] - FALL:
                found["hacking"] = (
                    f"the PRM's mean score rose from {prm[0]:.3f} to {prm[1]:.3f} while accuracy fell from "
                    f"{accuracy[0]:.3f} to {accuracy[1]:.3f}: the policy exploits the PRM"
                )
        return found


def _mean(rows: list[dict[str, float]], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)
