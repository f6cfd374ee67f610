"""Train `openr-tiny-policy` from nothing: `python -m train.tiny.train_policy --out FOLDER`.

A Qwen2 of a few million parameters learns next tokens of demonstrations; each is seen once. Batches are
bucketed by length and bounded by tokens. Runs on a CPU in half an hour, on a GPU in minutes.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from reason.common.command import Parser, run_command
from train.tiny.demonstrations import demonstrations
from train.tiny.tokenizer import save_tokenizer

PROG = "train_policy.py"
IGNORE = -100


def new_model(vocab_size: int, eos: int, hidden: int, layers: int) -> Qwen2ForCausalLM:
    """A randomly initialised Qwen2 with heads of 32 dimensions and tied embeddings."""
    config = Qwen2Config(
        vocab_size=math.ceil(vocab_size / 32) * 32,
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3 // 32 * 32,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 64,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=eos,
        pad_token_id=eos,
    )
    config._attn_implementation = "eager"  # on a CPU its backward pass is twice as fast as the fused kernel's
    return Qwen2ForCausalLM(config)


def batches(tokenizer, seed: int, max_tokens: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Padded (input_ids, labels), shape [samples, length] each, of at most `max_tokens` tokens a batch."""
    source, rng = demonstrations(seed), random.Random(seed)
    eos = tokenizer.eos_token_id
    while True:
        pool = []
        for _ in range(2048):
            question, lines = next(source)
            texts = [question] + [line.text for line in lines]
            learn = [False] + [line.learn for line in lines]
            pieces = tokenizer([text + "\n" for text in texts[:-1]] + [texts[-1]])["input_ids"]
            pieces[-1] = pieces[-1] + [eos]
            ids = [token for piece in pieces for token in piece]
            labels = [t if keep else IGNORE for piece, keep in zip(pieces, learn, strict=True) for t in piece]
            pool.append((ids, labels))
        pool.sort(key=lambda sample: len(sample[0]))
        packed, batch = list[list[Any]](), list[Any]()
        for sample in pool:
            if batch and len(sample[0]) * (len(batch) + 1) > max_tokens:
                packed.append(batch)
                batch = []
            batch.append(sample)
        packed.append(batch)
        rng.shuffle(packed)
        for batch in packed:
            yield (
                pad_sequence([torch.tensor(ids) for ids, _ in batch], batch_first=True, padding_value=eos),
                pad_sequence([torch.tensor(lab) for _, lab in batch], batch_first=True, padding_value=IGNORE),
            )


def learning_rate(done: float, peak: float) -> float:
    """Warm-up over 3 % of the run, then a straight line down to 2 % of the peak."""
    return peak * min(done / 0.03, 1.0) * (1.0 - 0.98 * done)


PROG = "train_policy.py"


class Spent(NamedTuple):
    """What a training took; loading and saving apart."""

    updates: int
    tokens: int
    seconds: float


def train(args: argparse.Namespace) -> Spent:
    """Train and save."""
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    save_tokenizer(args.out)
    (args.out / "config.json").write_text('{"model_type": "qwen2"}')  # for AutoTokenizer, overwritten below
    tokenizer = AutoTokenizer.from_pretrained(args.out)
    if args.init:
        model = Qwen2ForCausalLM.from_pretrained(args.init, dtype=torch.float32, attn_implementation="eager")
    else:
        model = new_model(len(tokenizer), tokenizer.eos_token_id, args.hidden, args.layers)
    model.to(device).train()  # type: ignore[arg-type]  # transformers wraps `to`
    print(f"{model.num_parameters():,} parameters on {device}", flush=True)
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
                                  lr=args.lr, betas=(0.9, 0.98))  # fmt: skip
    started, tokens, losses = time.monotonic(), 0, []
    checkpoints = [float(share) for share in args.checkpoints.split(",") if share]
    for step, (ids, labels) in enumerate(batches(tokenizer, args.seed, args.batch_tokens), 1):
        done = max(tokens / args.tokens, (time.monotonic() - started) / args.max_seconds)
        if checkpoints and done >= checkpoints[0]:
            save(model, tokenizer, args.out.with_name(f"{args.out.name}-{checkpoints.pop(0):g}"))
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(done, args.lr)
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = model(input_ids=ids.to(device), labels=labels.to(device)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        tokens += ids.numel()
        losses.append(loss.item())
        if step % 100 == 0:
            rate = tokens / (time.monotonic() - started)
            mean = sum(losses[-100:]) / 100
            print(f"step {step}  tokens {tokens:,}  loss {mean:.4f}  {rate:,.0f} tokens/s", flush=True)
    spent = Spent(len(losses), tokens, time.monotonic() - started)
    save(model, tokenizer, args.out)
    return spent


def save(model: Qwen2ForCausalLM, tokenizer: Any, folder: Path) -> None:
    """Write a bf16 copy of the model, with its tokenizer, in Hugging Face format."""
    import copy

    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)  # type: ignore[arg-type]  # transformers wraps `to`
    tokenizer.save_pretrained(folder)


def parser() -> Parser:
    """The command line."""
    p = Parser(prog=PROG, description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    p.add_argument("--init", type=Path, help="a model to go on from, instead of random weights")
    p.add_argument("--tokens", type=float, default=20e6, help="training tokens")
    p.add_argument("--max_seconds", type=float, default=math.inf, help="end after this time, if that is sooner")
    p.add_argument("--batch_tokens", type=int, default=8192, help="tokens a batch, padding included")
    p.add_argument("--hidden", type=int, default=192)
    p.add_argument("--layers", type=int, default=6)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--checkpoints", default="", help="comma-separated shares of the run to save a copy at")
    return p


def main() -> int:
    """The command; returns its exit status."""
    args = parser().parse_args()

    def act() -> None:
        train(args)

    return run_command(PROG, act)


if __name__ == "__main__":
    sys.exit(main())
