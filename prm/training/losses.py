"""From margins (prm/scoring/heads.py) and targets to losses, one for every kind of head.

cross_entropy   -y log p - (1 - y) log(1 - p), p the margin's sigmoid (of two tokens or classes: their softmax)
mse             (p - y)^2, p the step's score as it is served
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reason.common.errors import UserError
from reason.model_cards.card import PRMCard

if TYPE_CHECKING:  # arguments are parsed without torch
    from torch import Tensor

NAMES = ("cross_entropy", "mse")


def losses(margins: Tensor, targets: Tensor, name: str, sigmoid: bool) -> Tensor:
    """The loss of each step, [steps]; `sigmoid` is the head's."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    if name == "cross_entropy":
        return binary_cross_entropy_with_logits(margins, targets, reduction="none")
    return ((margins.sigmoid() if sigmoid else margins) - targets) ** 2


def choose(name: str | None, card: PRMCard) -> str:
    """The loss that was asked for, or the one that makes the card's score what the card says. Raises UserError."""
    is_value = card.head == "value" and not card.sigmoid and card.meaning != "log_ratio"
    if is_value and name == "cross_entropy":
        raise UserError(f"card {card.name!r}: its score has no sigmoid, which cross_entropy needs")
    if card.meaning == "log_ratio" and name == "mse":
        raise UserError(f"card {card.name!r}: its score is a log-ratio, which has no bounds: not for mse")
    return name or ("mse" if is_value else "cross_entropy")
