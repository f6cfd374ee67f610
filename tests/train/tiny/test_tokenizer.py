"""The embedded models' tokenizer, read as users read it: by AutoTokenizer, from a folder that says qwen2."""

import json

import pytest

from train.tiny.tokenizer import SIGNS, SPECIAL, save_tokenizer

TEXTS = [
    "17 + 25 * (3 - 2)\n17 + 25 = 42; 42 * 3 - 8\n126 - 8 = 118",
    "<|check|>5 - 9\nWait, 5 - 9 = -4",
    "  spaces  and\ttabs\n\n",
    "ünï\u4f60\u597d \U0001f600",
    "Yes No<|step|><|good|><|bad|>",
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("text", TEXTS)
def test_the_round_trip_is_exact(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("token", SPECIAL + SIGNS)
def test_kept_tokens_are_single(tokenizer, token):
    assert len(tokenizer.encode(token)) == 1


def test_a_step_is_one_token_a_digit_and_a_sign(tokenizer):
    assert len(tokenizer.encode("17 + 25 = 42; 42 * 3 - 8")) == 15


def test_the_chat_template_is_the_raw_prompt(tokenizer):
    messages = [{"role": "user", "content": "1 + 2"}]
    assert tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == "1 + 2\n"
