"""Train `openr-tiny-prm` from the policy's weights: `python -m train.tiny.train_prm --policy F --data F.jsonl --out F`.

Cross entropy of the two tokens that the card reads (good, bad) at each step's tag with the Monte Carlo value c/k
(soft estimation; Wang et al., 2024), on steps up to and including the first with value 0; the supervised position is
the one that `prm.scoring` reads, because its layout makes both. `--labels labels` takes c > 0 instead.
`--labels prefix_ok` trains on the oracle's labels instead: the ceiling, not the product.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer

from prm.scoring.layout import Layouter
from reason.model_cards import card as cards
from train.tiny.train_policy import learning_rate, save


class Example:
    """One solution: token ids, where its tags stand, and the labels of its first steps."""

    def __init__(self, row: dict, key: str, layouter: Layouter) -> None:
        labels = [c / k for c, k in zip(row["c"], row["k"], strict=True)] if key == "soft" else row[key]
        end = next((i + 1 for i, label in enumerate(labels) if not label), len(labels))
        self.labels = labels[:end]
        layout = layouter.lay_out(row["question"], row["steps"][:end])
        self.ids, self.tags = layout.tokens, layout.positions


def batches(examples: list[Example], max_tokens: int, rng: random.Random) -> Iterator[list[Example]]:
    """All examples once, in batches of similar length and at most `max_tokens` padded tokens."""
    ordered = sorted(examples, key=lambda e: (len(e.ids), rng.random()))
    packed: list[list[Example]] = [[]]
    for example in ordered:
        if packed[-1] and len(example.ids) * (len(packed[-1]) + 1) > max_tokens:
            packed.append([])
        packed[-1].append(example)
    rng.shuffle(packed)
    yield from packed


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(args.policy)
    card = cards.find("openr-tiny-prm", "prm")
    assert isinstance(card, cards.PRMCard)
    layouter = Layouter(card, tokenizer)
    good, bad = layouter.single_token("good", card.good), layouter.single_token("bad", card.bad)
    rows = [json.loads(line) for line in args.data.read_text(encoding="utf-8").splitlines()]
    examples = [Example(row, args.labels, layouter) for row in rows]
    model = AutoModelForCausalLM.from_pretrained(args.policy, dtype=torch.float32, attn_implementation="eager")
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05, betas=(0.9, 0.98))
    total = args.epochs * sum(len(example.ids) for example in examples)
    print(f"{len(examples)} solutions, {total:,} tokens in {args.epochs} epochs", flush=True)
    started, seen, step, recent = time.monotonic(), 0, 0, []
    for _ in range(args.epochs):
        for batch in batches(examples, args.batch_tokens, rng):
            ids = pad_sequence([torch.tensor(e.ids) for e in batch], True, tokenizer.pad_token_id).to(device)
            where = torch.tensor([(i, tag) for i, e in enumerate(batch) for tag in e.tags], device=device)
            labels = torch.tensor([float(label) for e in batch for label in e.labels], device=device)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(min(seen / total, 1.0), args.lr)
            with torch.autocast(device, dtype=torch.bfloat16):
                hidden = model.model(input_ids=ids).last_hidden_state[where[:, 0], where[:, 1]]
            logits = hidden.float() @ model.lm_head.weight[[bad, good]].T
            loss = torch.nn.functional.cross_entropy(logits, torch.stack([1 - labels, labels], 1))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            seen += sum(len(e.ids) for e in batch)
            step += 1
            recent.append(loss.item())
            if step % 50 == 0:
                rate = seen / (time.monotonic() - started)
                print(f"step {step}  {seen / total:.0%}  loss {sum(recent[-50:]) / 50:.4f}  {rate:,.0f} tokens/s",
                      flush=True)  # fmt: skip
    save(model, tokenizer, args.out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True, help="the weights to start from")
    parser.add_argument("--data", type=Path, required=True, help="rows of train.tiny.label_steps")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--labels", choices=("soft", "labels", "prefix_ok"), default="soft", help="c/k, c > 0, oracle")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch_tokens", type=int, default=2048)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
