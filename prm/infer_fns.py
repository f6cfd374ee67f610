"""OpenR's functions that score texts, under OpenR's names: `from prm.infer_fns import _qwen_math_infer_fn`.

Each takes a text that the caller laid out, with a step tag after every step, and returns the step scores [steps]; a
list of texts is scored in padded batches and gives a list of them. How the texts are read is the cards' matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from prm.scoring.scorer import Scorer
from reason.model_cards import card as cards


def _infer(input_str: str | Sequence[str], model: Any, tokenizer: Any, device: Any, *, name: str) -> Any:
    """P(good) at each tag, in fp32 on `device`: [steps], or a list of that for a list of texts.

    A text without a tag has no scores. Raises LayoutError for a text beyond the card's or the model's length,
    ScoreError for a score that is no number, UserError for a tokenizer in which tag, good or bad are not one token.
    """
    card = cards.find(name, "prm", name)
    assert isinstance(card, cards.PRMCard)
    scorer = Scorer(model, tokenizer, card)
    texts = [input_str] if isinstance(input_str, str) else list(input_str)
    tagged = [i for i, text in enumerate(texts) if scorer.layouter.tag in tokenizer.encode(text)]
    scored = scorer.run([scorer.layouter.lay_out_text(texts[i]) for i in tagged]).all_scores()
    scores: list[Tensor] = [torch.empty(0, device=device) for _ in texts]
    for i, row in zip(tagged, scored, strict=True):
        scores[i] = torch.tensor(row, device=device)
    return scores[0] if isinstance(input_str, str) else scores


_qwen_math_infer_fn = partial(_infer, name="math-psa")
_math_shepherd_infer_fn = partial(_infer, name="math-shepherd-mistral-7b-prm")
