"""Pretrain `openr-tiny-prm`: `python -m train.tiny.pretrain_prm --init POLICY --data FILE.jsonl --out FOLDER`.

The policy gets `--new_layers` on top, which start as the identity (telling that a token is not the one expected needs
some depth behind the expectation), and learns to tell solutions that all their labels call right from copies with one
spoilt step (`prm_examples`), new ones each epoch. What the policy's own errors are it learns afterwards, from labels,
by prm/code/finetune.py.

Three losses are summed: cross entropy of the card's good and bad tokens with the label of each step at its tag (the
position that `prm.scoring` reads, because its layout makes both); the same at each other token; and the policy's own
loss, next tokens, on right steps.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from prm.scoring.layout import Layouter
from reason.common.command import Parser, run_command
from reason.common.rows import Row, checked_rows
from reason.model_cards import card as cards
from train.tiny.prm_examples import GOOD, UNKNOWN, TokenExample, corrupted, right
from train.tiny.train_policy import IGNORE, learning_rate, save

WEIGHTS = (1.0, 0.5, 0.3)  # of the losses at the tags, at the other tokens, and of the policy's


def deeper(folder: Path, new_layers: int) -> Qwen2ForCausalLM:
    """The model in `folder` with more layers on top, whose outputs are 0 at first."""
    old = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    settings = old.config.to_dict()
    settings["num_hidden_layers"] += new_layers
    del settings["layer_types"]
    config = Qwen2Config(**settings)
    config._attn_implementation = "eager"  # on a CPU its backward pass is twice as fast as the fused kernel's
    model = Qwen2ForCausalLM(config)
    model.load_state_dict(old.state_dict(), strict=False)
    for layer in model.model.layers[old.config.num_hidden_layers :]:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    return model


def examples(rows: Sequence[Row], layouter: Layouter, rng: random.Random) -> list[TokenExample]:
    """The rows that are right to their end, each with a spoilt copy."""
    whole = [row for row in rows if len(row["labels"]) == len(row["steps"]) and all(row["labels"])]
    return [right(layouter, row["question"], row["steps"]) for row in whole] + [
        corrupted(layouter, row["question"], row["steps"], rng) for row in whole
    ]


def batches(pool: list[TokenExample], max_tokens: int, rng: random.Random) -> Iterator[list[TokenExample]]:
    """All examples once, in batches of similar length and at most `max_tokens` padded tokens, in random order.

    A short example is often short because it ends with an error, so an update needs batches of several lengths.
    """
    ordered = sorted(pool, key=lambda e: (len(e.ids), rng.random()))
    packed: list[list[TokenExample]] = [[]]
    for example in ordered:
        if packed[-1] and len(example.ids) * (len(packed[-1]) + 1) > max_tokens:
            packed.append([])
        packed[-1].append(example)
    rng.shuffle(packed)
    yield from packed


class Sums(NamedTuple):
    """Cross entropies summed over tags, other tokens with a target, and next tokens of right steps; scalars."""

    tags: torch.Tensor
    tokens: torch.Tensor
    lm: torch.Tensor


def counts(batch: Sequence[TokenExample]) -> tuple[int, int, int]:
    """How many terms the three sums of `losses` have; at least 1 each."""
    tags = sum(len(e.tags) for e in batch)
    known = sum(target != UNKNOWN for e in batch for target in e.targets)
    right = sum(target == GOOD for e in batch for target in e.targets[1:])
    return max(tags, 1), max(known - tags, 1), max(right, 1)


def losses(model: Qwen2ForCausalLM, batch: Sequence[TokenExample], bad: int, good: int) -> Sums:
    """The losses of a padded batch."""
    device = model.device
    padding = model.config.pad_token_id or 0
    ids = pad_sequence([torch.tensor(e.ids) for e in batch], True, padding).to(device)
    targets = pad_sequence([torch.tensor(e.targets) for e in batch], True, UNKNOWN).to(device)
    tags = torch.zeros_like(ids, dtype=torch.bool)
    for row, example in enumerate(batch):
        tags[row, list(example.tags)] = True
    with torch.autocast(device.type, dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids).last_hidden_state
        logits = model.lm_head(hidden).float()
    verdicts = logits[..., [bad, good]]
    tokens = (targets != UNKNOWN) & ~tags
    following = torch.where(targets == GOOD, ids, IGNORE)[:, 1:].flatten()
    return Sums(
        cross_entropy(verdicts[tags], targets[tags], reduction="sum"),
        cross_entropy(verdicts[tokens], targets[tokens], reduction="sum"),
        cross_entropy(logits[:, :-1].flatten(0, 1), following, ignore_index=IGNORE, reduction="sum"),
    )


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.init)
    card = cards.find("openr-tiny-prm", "prm")
    assert isinstance(card, cards.PRMCard)
    layouter = Layouter(card, tokenizer)
    good, bad = layouter.single_token("good", card.good), layouter.single_token("bad", card.bad)
    rows = [row for _, row in checked_rows(args.data)]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = deeper(args.init, args.new_layers).to(device).train()  # type: ignore[arg-type]  # transformers wraps `to`
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05, betas=(0.9, 0.98))
    epochs = [examples(rows, layouter, rng) for _ in range(args.epochs)]
    total = sum(len(e.ids) for epoch in epochs for e in epoch)
    print(f"{len(rows)} solutions, {total:,} tokens, {model.num_parameters():,} parameters", flush=True)
    started, seen, step, recent = time.monotonic(), 0, 0, []
    for epoch in epochs:
        packed = list(batches(epoch, args.batch_tokens, rng))
        for start in range(0, len(packed), args.accumulate):
            micro = packed[start : start + args.accumulate]
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(min(seen / total, 1.0), args.lr)
            terms, means = counts([e for batch in micro for e in batch]), [0.0, 0.0, 0.0]
            for batch in micro:
                parts = [part / n for part, n in zip(losses(model, batch, bad, good), terms, strict=True)]
                tags, tokens, following = (weight * part for weight, part in zip(WEIGHTS, parts, strict=True))
                (tags + tokens + following).backward()
                means = [mean + part.item() for mean, part in zip(means, parts, strict=True)]
                seen += sum(len(e.ids) for e in batch)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            recent.append(means)
            if step % 50 == 0:
                tag, token, lm = (sum(column) / 50 for column in zip(*recent[-50:], strict=True))
                rate = seen / (time.monotonic() - started)
                print(f"step {step}  {seen / total:.0%}  loss at tags {tag:.4f}  tokens {token:.4f}  lm {lm:.4f}  "
                      f"{rate:,.0f} tokens/s", flush=True)  # fmt: skip
    save(model, tokenizer, args.out)


def main() -> int:
    """The command; returns its exit status."""
    p = Parser(prog="pretrain_prm.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--init", type=Path, required=True, help="the policy")
    p.add_argument("--data", type=Path, required=True, help="rows of train.tiny.label_steps")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--new_layers", type=int, default=2)
    p.add_argument("--epochs", type=int, default=3)
    p.add_argument("--batch_tokens", type=int, default=1024, help="of a forward pass, padding included")
    p.add_argument("--accumulate", type=int, default=4, help="forward passes an update")
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    return run_command(p.prog, lambda: train(args))


if __name__ == "__main__":
    sys.exit(main())
