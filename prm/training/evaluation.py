"""How well a model in training finds wrong steps: the measures of prm/benchmarks on its scores as they are served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from data.preprocess.common import RIGHT, WRONG
from prm.benchmarks import first_error, steps
from prm.benchmarks.cases import Case, ScoredCases, Skips
from prm.scoring.layout import Layout, Layouter, LayoutError
from prm.scoring.scorer import Scorer
from prm.training.model import Margins, Trainee
from reason.common.errors import UserError
from train.core.plan import Pass
from train.core.processes import Processes
from train.core.sharding import Shards

METRICS = ("auc", "f1")  # a better model is greater in these; they may choose the best checkpoint


class TraineeScorer(Scorer):
    """Scores by one call of all that is trained: where weights are in shards they are whole only within it."""

    margins: Margins

    def _read(self, ids: torch.Tensor, rows: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(False), torch.no_grad():  # gathered weights are used in training, too
            margins = self.margins(Pass(ids.clone(), rows.clone(), positions.clone()))
        assert self.head is not None
        return margins.sigmoid() if self.head.sigmoid else margins


@dataclass
class Evaluation:
    """Labelled solutions, laid out once."""

    cases: list[Case]
    layouts: list[Layout]
    batch_tokens: int  # padded tokens a forward pass

    @classmethod
    def prepare(cls, cases: Sequence[Case], layouter: Layouter, batch_tokens: int, skips: Skips) -> Evaluation:
        """Lay out the solutions. Raises UserError: a bad row, or no figure could come of them."""
        kept, layouts = [], []
        for case in cases:
            try:
                layouts.append(layouter.lay_out(case.question, case.steps))
            except LayoutError as error:
                skips.add(case.place, error)
            else:
                kept.append(case)
        labels = {case.labels[i] for case in kept for i in case.judged}
        for label, name in ((RIGHT, "right"), (WRONG, "wrong")):
            if label not in labels:
                raise UserError(f"the test data have no step labelled {name}, so there is no AUC: give others")
        return cls(kept, layouts, batch_tokens)

    def measure(self, trainee: Trainee, processes: Processes) -> dict[str, float]:
        """The figures, the same on all processes, which share the work. Where the model is in shards each does all of
        it, so that all have equally many passes.
        """
        scorer = TraineeScorer(trainee.margins.bare, trainee.tokenizer, trainee.card, self.batch_tokens)
        scorer.margins = trainee.margins
        world, rank = (1, 0) if isinstance(processes, Shards) else (processes.size, processes.rank)
        own = scorer.run(self.layouts[rank::world]).all_scores()
        scores: list[list[float]] = [[]] * len(self.cases)
        for other, part in enumerate([own] if world == 1 else processes.gather(own)):
            scores[other::world] = part
        return figures(ScoredCases("test data", self.cases, scores))


def figures(scored: ScoredCases) -> dict[str, float]:
    """AUC, calibration and step accuracy; F1 of the first error at the other half's best threshold and at 0.5."""
    by_step = steps.figures(scored, {"0.5": 0.5})
    found = {
        "auc": by_step["auc"], "brier": by_step["brier"], "ece": by_step["ece"],
        "accuracy_at_0.5": by_step["accuracy at 0.5"],
    }  # fmt: skip
    fitted = first_error.cross_fitted(scored)
    if fitted is not None:
        found["f1"] = first_error.figures(scored, fitted, "best on the other half")["f1"]
    found["f1_at_0.5"] = first_error.figures(scored, [0.5] * len(scored.cases), "0.5")["f1"]
    return {name: value for name, value in found.items() if value is not None}
