"""What it saves to compute once what samples of a request have in common: `python -m scripts.bench.shared_samples`.

The transformers engine samples the same solutions with and without, one thread each time. tokens_per_cpu_s: sampled
tokens a second of processor time; rows: sequences computed, a token each, over sampled tokens; speedup: over the first
row. It depends on how sure the policy is: samples share a row until they first draw different tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from envs.base_env import DataOptions, load_task
from reason.engine.loading import end_tokens
from reason.engine.request import Generated, GenerateRequest, encode_prompt
from reason.engine.slots import ATTENTION
from reason.engine.transformers_engine import ApartEngine, Engine
from scripts.bench.frame import Rows, bench_rows
from scripts.bench.own_process import ROOT

POLICY = ROOT / "reason/llm_service/models/openr-tiny-policy"
TASK = load_task("arithmetic")


def measure(questions: list[str], n: int, temperature: float, under_way: int, share: bool) -> tuple[dict, list]:
    """A row, and what was sampled."""
    model = AutoModelForCausalLM.from_pretrained(POLICY, dtype=torch.float32, attn_implementation=ATTENTION).eval()
    tokenizer = AutoTokenizer.from_pretrained(POLICY)
    engine = (Engine if share else ApartEngine)(model, tokenizer, end_tokens(model, tokenizer), under_way, 4 << 30)
    passes: list[int] = []
    forward = engine._forward

    def counted(*inputs: Any) -> Any:
        passes.append(len(inputs[1]))
        return forward(*inputs)

    vars(engine)["_forward"] = counted

    def request(question: str) -> GenerateRequest:
        prompt = question + "\n"
        return GenerateRequest(
            encode_prompt(tokenizer, prompt), list(range(n)), temperature, 1.0, -1, TASK.max_new_tokens,
            stop=(), stop_token_ids=(),
        )  # fmt: skip

    async def all_of_them() -> list[list[Generated]]:
        return await asyncio.gather(*(engine.generate(request(question)) for question in questions))

    started = time.process_time()
    found = asyncio.run(all_of_them())
    seconds = time.process_time() - started
    engine.close()
    tokens = sum(len(sample.token_ids) for samples in found for sample in samples)
    row = {"share": share, "under_way": under_way, "tokens": tokens, "rows": sum(passes) / tokens}
    return row | {"tokens_per_cpu_s": tokens / seconds}, found


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--limit", type=int, default=64, help="questions; default %(default)s")
    p.add_argument("-n", type=int, default=16, help="samples a question; default %(default)s")
    p.add_argument("--temperature", type=float, default=1.0)
    p.add_argument("--quick", action="store_true", help="8 questions")
    p.add_argument("--json", type=Path, metavar="FILE")
    args = p.parse_args()
    torch.set_num_threads(1)
    limit = 8 if args.quick else args.limit
    questions = [problem.question for problem in TASK.problems(DataOptions(split="dev", limit=limit))]
    with bench_rows("shared_samples", args.json, 16) as rows:
        compare(questions, args, rows)


def compare(questions: list[str], args: argparse.Namespace, rows: Rows) -> None:
    """One row a way of sampling; ends the program where the samples differ."""
    first = None
    for share, under_way in ((False, 256), (False, 1024), (True, 256), (True, 1024)):
        row, found = measure(questions, args.n, args.temperature, under_way, share)
        first = first or found
        if found != first:
            sys.exit("shared_samples.py: the samples are not the same")
        rows.add(row | {"speedup": row["tokens_per_cpu_s"] / (rows or [row])[0]["tokens_per_cpu_s"]})


if __name__ == "__main__":
    main()
