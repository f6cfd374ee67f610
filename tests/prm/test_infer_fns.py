"""OpenR's names give OpenR's scores, one text or many at a time."""

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM

from prm.infer_fns import _math_shepherd_infer_fn, _qwen_math_infer_fn
from prm.scoring.layout import LayoutError
from tests.prm.scoring import families

QWEN_TEXTS = ["q? 1 + 1 = 2 \n\n\n\n\n so 2 \n\n\n\n\n ", "A longer one: 1 + - \n\n\n\n\n", "no tag"]
MISTRAL_TEXTS = ["q? Step 1: 1 + 1 = 2 ки\nStep 2: so 2 ки\n", "A longer question than that. + - ки", "no tag"]


def by_hand(model, ids, good, bad, tag):
    """As OpenR reads them: softmax of the two logits at each tag."""
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    return [logits[i][[good, bad]].softmax(-1)[0].item() for i, token in enumerate(ids) if token == tag]


def check(infer, texts, model, tokenizer, good, bad, tag):
    expected = [by_hand(model, tokenizer.encode(text), good, bad, tag) for text in texts]
    assert list(map(len, expected)) == [2, 1, 0]
    together = infer(texts, model, tokenizer, torch.device("cpu"))
    for text, scores, right in zip(texts, together, expected, strict=True):
        assert scores.tolist() == pytest.approx(right, abs=1e-5)
        assert scores.ndim == 1
        assert torch.allclose(infer(text, model, tokenizer, "cpu"), scores, atol=1e-5)
    with pytest.raises(LayoutError, match="takes 4096"):
        infer(texts[0].replace("q?", "q?" * 5000), model, tokenizer, "cpu")


def test_qwen():
    tokenizer, _ = families.qwen()
    model = families.randomly(Qwen2ForCausalLM(Qwen2Config(vocab_size=len(tokenizer), **families.SMALL)))
    good, bad = tokenizer.encode(" + -")
    check(_qwen_math_infer_fn, QWEN_TEXTS, model, tokenizer, good, bad, tokenizer.encode(" \n\n\n\n\n")[0])


def test_math_shepherd(tmp_path):
    tokenizer = families.mistral(tmp_path)
    if tokenizer is None:
        pytest.skip("Mistral's vocabulary comes with mistral-common, which is not installed")
    model = families.randomly(MistralForCausalLM(MistralConfig(vocab_size=len(tokenizer), **families.SMALL)))
    good, bad = tokenizer.encode("+ -")[1:]
    check(_math_shepherd_infer_fn, MISTRAL_TEXTS, model, tokenizer, good, bad, tokenizer.encode("ки")[-1])
