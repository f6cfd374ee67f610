"""Serve a policy LM with transformers: `python -m reason.llm_service.workers.model_worker --model-path FOLDER`.

Takes any attention-only causal LM, on a CPU or one GPU; concurrent requests share forward passes, see
reason/engine/transformers_engine.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):  # run as a file
    sys.path[0] = str(Path(__file__).resolve().parents[3])

import torch

from reason.engine.loading import load_transformers, tokenizer_of
from reason.engine.transformers_engine import ApartEngine, Engine
from reason.inference.local import lm_card_of
from reason.llm_service.workers.lm_worker import LMWorker
from reason.llm_service.workers.process import cache_argument, common_arguments, main, weights_argument


def load(args: argparse.Namespace) -> LMWorker:
    """Load the model by its card. Raises UserError."""
    tokenizer = tokenizer_of(args.model_path, args.trust_remote_code)
    worker = LMWorker(args, lm_card_of(args.model_path, args.card, tokenizer))
    engine = load_transformers(
        args.model_path, tokenizer, args.device, args.dtype, args.max_model_len, args.max_num_seqs, args.kv_cache_gib,
        args.cache_mb, args.trust_remote_code, Engine if args.share_samples else ApartEngine,
    )  # fmt: skip
    worker.face(engine)
    return worker


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="model_worker", description=__doc__)
    common_arguments(parser, concurrency=1024)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"],
                        help="default: float32 on a CPU, bfloat16 on a GPU")  # fmt: skip
    parser.add_argument("--max-model-len", type=int, help="context; default: the model's")
    parser.add_argument("--max-num-seqs", type=int, default=1024, help="samples under way; default %(default)s")
    parser.add_argument("--share-samples", action=argparse.BooleanOptionalAction, default=True,
                        help="compute once what samples of a request have in common; default: yes; the samples are the "
                        "same either way")  # fmt: skip
    parser.add_argument("--kv-cache-gib", type=float,
                        help="memory for keys and values of samples under way; default: 4, on a GPU 0.8 of what is "
                        "free, the cache aside")  # fmt: skip
    weights_argument(parser)
    cache_argument(parser, "keys and values of finished samples, so that a prompt that goes on from one costs nothing")
    return parser


if __name__ == "__main__":
    main(arguments(), load)
