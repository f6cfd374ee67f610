"""Serves a PRM: `python -m reason.llm_service.workers.reward_model_worker --model-path FOLDER`.

Answers /worker_value_inference with one score a step. A request holds either `inputs` (questions and steps, laid
out here by the model's card) or OpenR's `input_str` (texts that the client laid out, scored at each step tag).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file
    sys.path[0] = str(Path(__file__).resolve().parents[3])

import torch

from prm.scoring.layout import Layout, LayoutError
from prm.scoring.scorer import ScoreError
from reason.engine.request import EngineError
from reason.inference import LocalOptions
from reason.inference.local import LocalRM
from reason.llm_service.workers.base_worker import Params, Worker
from reason.llm_service.workers.process import cache_argument, common_arguments, main
from reason.model_cards import card as cards
from reason.model_cards.card import Card, PRMCard, with_template


class RewardModelWorker(Worker):
    """One PRM: an HTTP face over a `LocalRM`."""

    def __init__(self, args: argparse.Namespace, card: Card, rm: LocalRM) -> None:
        super().__init__(args, card)
        self.rm, self.context_len = rm, rm.scorer.layouter.max_length

    async def close(self) -> None:
        await self.rm.close()

    async def value_inference(self, params: Params) -> dict[str, Any]:
        layouts = self.lay_out(params)
        result = await self.rm.batcher.run(layouts)
        try:
            scores: Any = result.all_scores()
        except ScoreError as error:
            raise EngineError("ScoreError", str(error)) from None
        echo = {}
        if "inputs" not in params:
            echo["input"] = params["input_str"]
            if isinstance(params["input_str"], str):
                scores = scores[0]
        usage = {
            "computed_tokens": result.computed,
            "reused_tokens": sum(result.tokens) - result.computed,
            "per_input": result.tokens,
            "truncated_tokens": sum(layout.dropped for layout in layouts),
        }
        return {"value": scores, **echo, "usage": usage}

    def lay_out(self, params: Params) -> list[Layout]:
        """The request's inputs as tokens. Raises EngineError that names the input."""
        layouts = []
        for index, item in enumerate(read_inputs(params)):
            try:
                if isinstance(item, str):
                    layouts.append(self.rm.scorer.layouter.lay_out_text(item))
                else:
                    layouts.append(self.rm.scorer.layouter.lay_out(*item))
            except LayoutError as error:
                raise EngineError("LayoutError", f"input {index}: {error}") from None
        return layouts

    def count_tokens(self, text: str) -> int:
        return len(self.rm.scorer.tokenizer.encode(text))

    def details(self) -> dict[str, Any]:
        return self.rm.details


def read_inputs(params: Params) -> list[str | tuple[str, list[str]]]:
    """The texts, or (question, steps) pairs, of a request. Raises EngineError."""
    if "inputs" in params:
        items = params["inputs"]
        if not isinstance(items, list):
            raise EngineError("BadRequest", "`inputs` must be a list of {question, steps}")
        return [read_pair(index, item) for index, item in enumerate(items)]
    texts = params.get("input_str")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        message = "the request needs `inputs`, a list of {question, steps}, or `input_str`, a text or a list"
        raise EngineError("BadRequest", message)
    return texts


def read_pair(index: int, item: Any) -> tuple[str, list[str]]:
    """One {question, steps} of a request. Raises EngineError."""
    question, steps = (item.get("question"), item.get("steps")) if isinstance(item, dict) else (None, None)
    if not isinstance(question, str) or not isinstance(steps, list) or not all(isinstance(s, str) for s in steps):
        raise EngineError("BadRequest", f"input {index} must hold `question`, a text, and `steps`, a list of texts")
    return question, steps


def load(args: argparse.Namespace) -> RewardModelWorker:
    """Load the model by its card. Raises UserError."""
    card = cards.find(args.model_path, "prm", args.card)
    assert isinstance(card, PRMCard)
    options = LocalOptions(
        device=args.device, cache_mb=args.cache_mb, base_model=args.base_model, reference_model=args.reference_model,
        batch_tokens=args.batch_tokens, batch_wait=args.batch_wait_ms / 1000, trust_remote_code=args.trust_remote_code,
    )  # fmt: skip
    rm = LocalRM.open(args.model_path, card, options)
    return RewardModelWorker(args, with_template(card, rm.scorer.tokenizer), rm)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    common_arguments(parser, concurrency=1024)
    cuda = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda" if cuda else "cpu", help="fp32 on a cpu, bf16 on cuda")
    parser.add_argument("--base-model", help="the model under an adapter, where it is not the one the card names")
    parser.add_argument("--reference-model", help="an implicit PRM's second model, where it is not the card's")
    parser.add_argument("--batch-tokens", type=int, help="padded tokens of a batch; default by device")
    cache_argument(parser, "the prefixes of inputs, so that a new step costs its own tokens alone")
    parser.add_argument(
        "--batch-wait-ms", type=float, default=2.0 if cuda else 0.0, help="how long a busy worker lets a batch fill"
    )
    return parser


if __name__ == "__main__":
    main(arguments(), load)
