"""What is supervised is what is served: the same positions, the same head, the same layout."""

import math

import pytest
import torch

from prm.benchmarks.cases import Skips
from prm.scoring.scorer import Scorer
from prm.training import model as models
from prm.training.examples import lay_out
from prm.training.losses import choose, losses
from prm.training.rows import read_files
from reason.common.errors import UserError
from tests.prm.tiny import changed, save_prm
from train.core.plan import collate

HEADS = {
    "token_logits": {},
    "two_class": {"head": "two_class"},
    "value": {"head": "value"},
    "raw value": {"head": "value", "sigmoid": False, "meaning": "value"},
    "no tag": {"step_tag": "", "step": "{step}\n{tag}"},
}


def trainee_of(folder, name):
    card = changed(self_test=None, **HEADS[name])
    labels = {"two_class": 2, "value": 1}.get(card.head, 0)
    save_prm(folder, card, num_labels=labels)
    return models.load(str(folder), card)


@pytest.mark.parametrize("name", HEADS)
def test_the_loss_is_that_of_the_served_scores(tmp_path, data, name):
    """A label one position off, on either side, would be seen here."""
    trainee = trainee_of(tmp_path, name)
    cases = read_files([data / "train.jsonl"], [""], Skips())[:8]
    one = collate(lay_out(cases, trainee.layouter, "hard", Skips()))
    loss = choose(None, trainee.card)
    with torch.no_grad():
        margins = trainee.margins(one)
        trained = losses(margins, one.targets, loss, trainee.head.sigmoid)
    scorer = Scorer.load(str(tmp_path), trainee.card, device="cpu")
    served = scorer.score([(case.question, case.steps) for case in cases])
    by_hand = []
    for case, scores in zip(cases, served, strict=True):
        for i in case.judged:
            y, p = case.labels[i], scores[i]
            by_hand.append((p - y) ** 2 if loss == "mse" else -math.log(p if y else 1 - p))
    assert trained.tolist() == pytest.approx(by_hand, rel=1e-3, abs=1e-4)


def test_a_change_at_a_supervised_position_changes_exactly_the_score_of_its_step(base, data):
    trainee = models.load(str(base), changed(self_test=None))
    case = max(read_files([data / "train.jsonl"], [""], Skips()), key=lambda c: len(c.judged))
    (example,) = lay_out([case], trainee.layouter, "hard", Skips())
    scorer = Scorer(trainee.margins.bare, trainee.tokenizer, trainee.card)
    before = scorer.score([(case.question, case.steps)])[0]
    assert len(example.positions) > 1
    for number, position in enumerate(example.positions):

        def move(module, args, output, position=position):
            output = output.clone()
            output[:, position] += torch.linspace(-1, 1, output.shape[-1])
            return output

        hook = trainee.margins.bare.base_model.norm.register_forward_hook(move)
        after = scorer.score([(case.question, case.steps)])[0]
        hook.remove()
        assert [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if abs(a - b) > 1e-6] == [number]


def test_losses_by_hand():
    margins, targets = torch.tensor([0.0, math.log(3)]), torch.tensor([1.0, 0.25])
    assert losses(margins, targets, "cross_entropy", True).tolist() == pytest.approx(
        [math.log(2), -0.25 * math.log(0.75) - 0.75 * math.log(0.25)]
    )
    assert losses(margins, targets, "mse", True).tolist() == pytest.approx([0.25, 0.25])
    assert losses(margins, targets, "mse", False).tolist() == pytest.approx([1.0, (math.log(3) - 0.25) ** 2])


def test_a_loss_that_does_not_fit_the_score_is_refused():
    assert choose(None, changed()) == "cross_entropy"
    assert choose(None, changed(head="value", sigmoid=False)) == "mse"
    with pytest.raises(UserError, match="no sigmoid"):
        choose("cross_entropy", changed(head="value", sigmoid=False))
    with pytest.raises(UserError, match="no bounds"):
        choose("mse", changed(head="value", meaning="log_ratio"))
