"""The public PRM families in small: the same architecture, checkpoint layout, head and tokenizer, random weights.

The real vocabularies come with packages of the registry: Mistral's with mistral-common, Qwen's with dashscope, Llama
3's with llama-models. Where one is not installed, a look-alike stands in: bytes, the same pre-tokenisation, the same
special tokens, and tags and labels that are single tokens as in the real one. The chat templates are shortened ones
with the same turns. Scores by hand follow each family's published usage: whole texts, one solution at a time, the
whole model.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaTokenizer,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2ForTokenClassification,
    Qwen2Model,
)
from transformers.convert_slow_tokenizer import TikTokenConverter

from reason.model_cards import card as cards

WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>"]
LLAMA_SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
QWEN_CHAT = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nPlease reason step by step, and put your final answer "
    "within \\boxed{}.<|im_end|>\n{% endif %}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
    "<|im_end|>\n{% endfor %}"
)
LLAMA_CHAT = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
    "{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}<|eot_id|>"
    "{% endfor %}"
)
SMALL: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 64, "max_position_embeddings": 4096,
}  # fmt: skip


def _packaged(package: str, file: str) -> Path | None:
    spec = find_spec(package)
    folders = spec.submodule_search_locations or [] if spec else []
    return next((Path(folder) / file for folder in folders if (Path(folder) / file).is_file()), None)


def _look_alike(pattern: str, special: list[str], whole: list[str]) -> Tokenizer:
    """Bytes, and `whole` as one token each."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    vocab = {char: index for index, char in enumerate(alphabet)}
    merges: list[tuple[str, str]] = []
    for text in whole:
        token = spelled.pre_tokenize_str(text)[0][0]
        for end in range(2, len(token) + 1):
            if token[:end] not in vocab:
                vocab[token[:end]] = len(vocab)
                merges.append((token[: end - 1], token[end - 1]))
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, spelled])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def _tiktoken(file: Path | None, digits: str, special: list[str], whole: list[str]) -> Tokenizer:
    pattern = WORDS.format(digits=digits)
    if file is None:
        return _look_alike(pattern, special, whole)
    return TikTokenConverter(vocab_file=str(file), pattern=pattern, extra_special_tokens=special).converted()


def qwen() -> tuple[Any, bool]:
    """Qwen2.5's tokenizer, and whether it is the real vocabulary. <extra_0>'s id is not the real one."""
    file = _packaged("dashscope", "resources/qwen.tiktoken")
    found = _tiktoken(file, "", QWEN_SPECIAL, [" \n\n\n\n\n", "\n\n", " +", " -", ".\n\n"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=found, bos_token="<|endoftext|>", eos_token="<|im_end|>", chat_template=QWEN_CHAT
    )
    return tokenizer, file is not None


def llama() -> tuple[Any, bool]:
    """Llama 3's tokenizer, and whether it is the real vocabulary. Its special tokens' ids are not the real ones."""
    file = _packaged("llama_models", "llama3/tokenizer.model")
    found = _tiktoken(file, "{1,3}", LLAMA_SPECIAL, [" \n\n\n\n\n", "\n\n", " +", " -", ".\n\n"])
    bos = found.token_to_id("<|begin_of_text|>")
    found.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", bos)]),
        ]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=found, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", chat_template=LLAMA_CHAT
    )
    return tokenizer, file is not None


def mistral(folder: Path) -> Any | None:
    """Mistral's tokenizer of 32,000 tokens; None where mistral-common and sentencepiece are not installed."""
    file = _packaged("mistral_common", "data/tokenizer.model.v1")
    if file is None or find_spec("sentencepiece") is None:
        return None
    shutil.copy(file, folder / "tokenizer.model")
    return LlamaTokenizer.from_pretrained(folder, add_bos_token=True)


@dataclass
class Family:
    """A saved PRM with what must come out of it."""

    card: cards.PRMCard
    folder: Path
    by_hand: Callable[[str, list[str]], list[float]]  # scores by the family's published usage
    options: dict[str, Any] = field(default_factory=dict)  # for Scorer.load


def randomly(model: Any, seed: int = 0) -> Any:
    """Weights spread so that scores differ."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.normal_(0, 0.2)
    return model.eval()


def card_of(name: str) -> cards.PRMCard:
    found = cards.find(name, "prm", name)
    assert isinstance(found, cards.PRMCard)
    return found


@torch.no_grad()
def _logits(model: Any, ids: list[int]) -> torch.Tensor:
    return model(torch.tensor([ids])).logits[0]


@torch.no_grad()
def _hidden(model: Any, ids: list[int]) -> torch.Tensor:
    return model(torch.tensor([ids])).last_hidden_state[0]


def _at_tag(model: Any, tokenizer: Any, good: int, bad: int, tag: int, text: str) -> list[float]:
    ids = tokenizer.encode(text)
    logits = _logits(model, ids)
    return [logits[i][[good, bad]].softmax(-1)[0].item() for i, token in enumerate(ids) if token == tag]


def math_shepherd(folder: Path, tokenizer: Any) -> Family:
    model = randomly(MistralForCausalLM(MistralConfig(vocab_size=len(tokenizer), sliding_window=4096, **SMALL)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    good, bad = tokenizer.encode("+ -")[1:]
    tag = tokenizer.encode("ки")[-1]

    def by_hand(question, steps):
        text = f"{question} " + "\n".join(f"{step.strip()} ки" for step in steps)
        return _at_tag(model, tokenizer, good, bad, tag, text)

    return Family(card_of("math-shepherd-mistral-7b-prm"), folder, by_hand)


def openr_adapter(folder: Path, tokenizer: Any, name: str, model: Any) -> Family:
    """A LoRA adapter in a folder without a tokenizer, over a base whose path the card does not know."""
    import peft

    (folder / "base").mkdir()
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    torch.manual_seed(1)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(model, config).eval()
    adapted.save_pretrained(str(folder / "adapter"))
    good, bad = tokenizer.encode(" + -", add_special_tokens=False)
    (tag,) = tokenizer.encode(" \n\n\n\n\n", add_special_tokens=False)

    def by_hand(question, steps):
        text = f"{question} " + " ".join(f"{step.strip()} \n\n\n\n\n" for step in steps)
        return _at_tag(adapted, tokenizer, good, bad, tag, text)

    return Family(card_of(name), folder / "adapter", by_hand, {"base_model": str(folder / "base")})


def math_psa(folder: Path, tokenizer: Any) -> Family:
    return openr_adapter(folder, tokenizer, "math-psa", randomly(Qwen2ForCausalLM(qwen_config(tokenizer))))


def openr_llama(folder: Path, tokenizer: Any) -> Family:
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, **SMALL))
    return openr_adapter(folder, tokenizer, "openr-llama-prm", randomly(model))


def qwen_config(tokenizer: Any, **fields: Any) -> Qwen2Config:
    return Qwen2Config(vocab_size=len(tokenizer), use_sliding_window=False, **SMALL, **fields)


def _mlp(outputs: int) -> nn.Sequential:
    return randomly(nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, outputs)), 1)


def _with_head(folder: Path, tokenizer: Any, model: Any, head: dict[str, Any], sharded: bool) -> None:
    """A checkpoint in which the network is `model.` and other tensors stand beside it."""
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()} | head
    if not sharded:
        torch.save(state, folder / "pytorch_model.bin")
        return
    names = sorted(state)
    index: dict[str, str] = {}
    for shard, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{shard}-of-00002.safetensors"
        save_file({name: state[name].contiguous() for name in part}, folder / file, {"format": "pt"})
        index |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def _chat(tokenizer: Any, card: cards.PRMCard, question: str, solution: str) -> list[int]:
    messages = [("system", card.system)] if card.system else []
    messages += [("user", question), ("assistant", solution)]
    turns = [{"role": role, "content": text} for role, text in messages]
    return tokenizer.encode(tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False)


def qwen_prm(folder: Path, tokenizer: Any) -> Family:
    model, score = randomly(Qwen2Model(qwen_config(tokenizer))), _mlp(2)
    head = {f"score.{name}": tensor for name, tensor in score.state_dict().items()}
    _with_head(folder, tokenizer, model, head, sharded=True)
    card = card_of("qwen2.5-math-prm")
    (tag,) = tokenizer.encode("<extra_0>")

    def by_hand(question, steps):
        ids = _chat(tokenizer, card, question, "<extra_0>".join(step.strip() for step in steps) + "<extra_0>")
        hidden = _hidden(model, ids)
        return [score(hidden[i]).softmax(-1)[1].item() for i, token in enumerate(ids) if token == tag]

    return Family(card, folder, by_hand)


def qwen_rm(folder: Path, tokenizer: Any) -> Family:
    model, score = randomly(Qwen2Model(qwen_config(tokenizer))), _mlp(1)
    head = {f"score.{name}": tensor for name, tensor in score.state_dict().items()}
    _with_head(folder, tokenizer, model, head, sharded=True)
    card = card_of("qwen2.5-math-rm")

    def by_hand(question, steps):
        solutions = ["\n\n".join(step.strip() for step in steps[:k]) for k in range(1, len(steps) + 1)]
        return [score(_hidden(model, _chat(tokenizer, card, question, s))[-1])[0].item() for s in solutions]

    return Family(card, folder, by_hand)


def skywork(folder: Path, tokenizer: Any) -> Family:
    model, head = randomly(Qwen2Model(qwen_config(tokenizer))), randomly(nn.Linear(32, 1), 1)
    others = {f"v_head.summary.{name}": tensor for name, tensor in head.state_dict().items()}
    others["lm_head.weight"] = torch.zeros(len(tokenizer), 32)
    _with_head(folder, tokenizer, model, others, sharded=False)
    newline = tokenizer.encode("\n")[-1]

    def by_hand(question, steps):
        ids = tokenizer.encode(tokenizer.bos_token + question + "\n")
        ends = []
        for step in steps:
            ids += [*tokenizer.encode(step.strip()), newline]
            ends.append(len(ids) - 1)
        return head(_hidden(model, ids)[ends])[:, 0].sigmoid().tolist()

    return Family(card_of("skywork-o1-prm"), folder, by_hand)


def _llama(folder: Path, tokenizer: Any) -> tuple[Any, Callable[[list[str]], float]]:
    """A saved Llama, and its P("+") of a chat whose user's turns these are, answered with "+" but for the last."""
    model = randomly(LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **SMALL)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    answers = [tokenizer.encode(text)[-1] for text in "+-"]

    def plus(users):
        turns = [{"role": r, "content": t} for user in users for r, t in (("user", user), ("assistant", "+"))]
        ids = tokenizer.encode(tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False)
        assert ids[-2] == answers[0]
        return _logits(model, ids)[-3][answers].softmax(-1)[0].item()

    return model, plus


def rlhflow_prm(folder: Path, tokenizer: Any) -> Family:
    _, plus = _llama(folder, tokenizer)

    def by_hand(question, steps):
        texts = [step.strip() for step in steps]
        turns = [f"{question} {texts[0]}", *texts[1:]] if texts else []
        return [plus(turns[:k]) for k in range(1, len(turns) + 1)]

    return Family(card_of("rlhflow-prm"), folder, by_hand)


def rlhflow_orm(folder: Path, tokenizer: Any) -> Family:
    _, plus = _llama(folder, tokenizer)

    def by_hand(question, steps):
        texts = [step.strip() for step in steps]
        return [plus([f"{question} " + "\n\n".join(texts[:k])]) for k in range(1, len(texts) + 1)]

    return Family(card_of("rlhflow-orm"), folder, by_hand)


def trl(folder: Path, tokenizer: Any) -> Family:
    model = randomly(Qwen2ForTokenClassification(qwen_config(tokenizer, num_labels=2)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)

    def by_hand(question, steps):
        ids, ends = tokenizer.encode(question, add_special_tokens=False), []
        for step in steps:
            ids += tokenizer.encode(step.strip(), add_special_tokens=False)
            ids += tokenizer.encode("\n\n", add_special_tokens=False)
            ends.append(len(ids) - 1)
        return _logits(model, ids)[ends].softmax(-1)[:, 1].tolist()

    return Family(card_of("trl-prm"), folder, by_hand)


def ovm(folder: Path, tokenizer: Any) -> Family:
    model = randomly(Qwen2ForCausalLM(qwen_config(tokenizer)))  # the published ones are Llama 2 and Mistral
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    gain, bias, weight = torch.tensor([0.7]), torch.tensor([-0.3]), torch.randn(1, 32)
    torch.save({"gain": gain, "bias": bias, "vscore_head.weight": weight}, folder / "verifier.pth")

    def by_hand(question, steps):
        values = []
        for k in range(1, len(steps) + 1):
            ids = tokenizer.encode(f"{question}\n" + "".join(f"{step.strip()}\n" for step in steps[:k]))
            values.append((weight @ (gain * _hidden(model.model, ids)[-1] + bias))[0].item())
        return values

    return Family(card_of("ovm"), folder, by_hand)


def eurus(folder: Path, tokenizer: Any) -> Family:
    """Both models; beta is large, so that a wrong sum is seen."""
    pair = [randomly(Qwen2ForCausalLM(qwen_config(tokenizer)), seed) for seed in (0, 1)]
    for model, name in zip(pair, ("policy", "reference"), strict=True):
        model.save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / "policy")
    card = dataclasses.replace(card_of("eurus-prm"), beta=0.5, reference_model=str(folder / "reference"))

    def by_hand(question, steps):
        texts = [f"Step {n}: {step.strip()}\n\n" for n, step in enumerate(steps, 1)]
        whole = _chat(tokenizer, card, question, "".join(texts))
        logp = [_logits(model, whole).log_softmax(-1) for model in pair]
        ratio = [0.0] + [(logp[0][i - 1, t] - logp[1][i - 1, t]).item() for i, t in enumerate(whole) if i]
        closing = tokenizer.encode("<|im_end|>\n")
        begin = len(_chat(tokenizer, card, question, "")) - len(closing)
        parts = ["".join(texts[:k]) for k in range(1, len(texts) + 1)]
        ends = [len(_chat(tokenizer, card, question, part)) - len(closing) for part in parts]
        return [0.5 * sum(ratio[begin:end]) for end in ends]

    return Family(card, folder / "policy", by_hand)


QWEN = [math_psa, qwen_prm, qwen_rm, skywork, trl, ovm, eurus]
LLAMA = [openr_llama, rlhflow_prm, rlhflow_orm]
