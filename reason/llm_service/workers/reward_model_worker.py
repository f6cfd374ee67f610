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
import transformers

from prm.scoring.batcher import Batcher
from prm.scoring.layout import Layout, LayoutError
from prm.scoring.scorer import ScoreError, Scorer
from reason.common.errors import UserError
from reason.engine.memory import cache_bytes
from reason.engine.packed_linear import pack_linears
from reason.engine.request import EngineError
from reason.llm_service.workers.base_worker import Params, Worker
from reason.llm_service.workers.process import cache_argument, common_arguments, main
from reason.model_cards.card import Card, with_template


class RewardModelWorker(Worker):
    """One PRM behind a micro-batcher."""

    engine = "prm"

    def __init__(self, args: argparse.Namespace, card: Card, scorer: Scorer) -> None:
        super().__init__(args, card)
        self.scorer = scorer
        self.tokenizer = scorer.tokenizer
        self.context_len = scorer.layouter.max_length
        self.batcher = Batcher(scorer, args.batch_wait_ms / 1000)

    async def close(self) -> None:
        self.batcher.close()

    async def value_inference(self, params: Params) -> dict[str, Any]:
        layouts = self.lay_out(params)
        result = await self.batcher.run(layouts)
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
                    layouts.append(self.scorer.layouter.lay_out_text(item))
                else:
                    layouts.append(self.scorer.layouter.lay_out(*item))
            except LayoutError as error:
                raise EngineError("LayoutError", f"input {index}: {error}") from None
        return layouts

    def count_tokens(self, text: str) -> int:
        return len(self.tokenizer.encode(text))

    def details(self) -> dict[str, Any]:
        return {
            "context_length": self.context_len,
            "dtype": str(self.scorer.model.dtype).removeprefix("torch."),
            "version": transformers.__version__,
        }


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


def load(args: argparse.Namespace, card: Card) -> RewardModelWorker:
    """Load the model by its card. Raises UserError."""
    try:
        scorer = Scorer.load(
            args.model_path, card, args.device, args.batch_tokens, args.base_model, args.trust_remote_code,
            args.reference_model,
        )  # fmt: skip
        for model in (scorer.model, scorer.reference):
            if model is not None:
                pack_linears(model.base_model)  # heads read the weights of their own layers
        if memory := cache_bytes(args.device, args.cache_mb):
            scorer.keep_prefixes(memory)
    except UserError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{args.model_path} cannot be loaded: {' '.join(str(error).split())}") from error
    return RewardModelWorker(args, with_template(card, scorer.tokenizer), scorer)


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
    main(arguments(), "prm", load)
