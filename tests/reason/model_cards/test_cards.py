"""Every card loads, says what its family needs, and is found in the order that is promised."""

import dataclasses
import json

import pytest

from reason.common.errors import UserError
from reason.model_cards import card as cards
from reason.model_cards.card import LMCard, PRMCard, with_template

FILES = sorted(cards.FOLDER.glob("*.yaml"))
AGGREGATIONS = ("last", "min", "prod", "mean")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_card_loads_and_is_found_by_each_of_its_models(file):
    card = cards.load(file)
    assert card.name == file.stem
    assert card.models
    for model in card.models:
        assert cards.find(model, card.kind) == card
    assert cards.from_dict(json.loads(json.dumps(cards.to_dict(card))), "the wire") == card
    if isinstance(card, PRMCard):
        assert card.aggregation in AGGREGATIONS
        assert card.self_test is not None
        assert card.self_test.good != card.self_test.bad


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_card_that_is_saved_with_a_model_is_found_there(file, tmp_path):
    card = cards.load(file)
    cards.save(card, tmp_path)
    assert cards.find(str(tmp_path), card.kind) == card


def test_the_families_of_the_services_have_cards():
    names = {file.stem for file in FILES}
    assert names >= {
        "openr-tiny-policy", "openr-tiny-prm", "qwen2.5-math", "mistral-7b-sft", "math-shepherd-mistral-7b-prm",
        "math-psa", "openr-llama-prm", "qwen2.5-math-prm", "qwen2.5-math-rm", "skywork-o1-prm", "rlhflow-prm",
        "rlhflow-orm", "trl-prm", "ovm", "eurus-prm",
    }  # fmt: skip
    assert not any("\\boxed" in card.system for card in map(cards.load, FILES) if isinstance(card, LMCard))


def test_no_model_is_listed_twice():
    listed = [(card.kind, model) for card in map(cards.load, FILES) for model in card.models]
    assert len(listed) == len(set(listed))


def test_embedded_self_test_is_arithmetic():
    from envs.arithmetic.oracle import judge

    test = cards.find("openr-tiny-prm", "prm").self_test
    assert all(verdict.prefix_ok for verdict in judge(test.question, test.good))
    assert not judge(test.question, test.bad)[0].prefix_ok


def write(folder, text):
    file = folder / "model_card.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: lm\nname: a\nseparator: x\n", "unknown field 'separator'"),
        ("kind: lm\n", "name"),
        ("kind: rm\nname: a\n", "kind must be lm or prm, not 'rm'"),
        ("kind: prm\nname: a\nstep_tag: b\n", "head"),
        ("- a\n", "a card is a mapping"),
        ("kind: lm\nname: a\nstep_separator: ''\n", "step_separator is empty"),
        (
            "kind: prm\nname: a\nhead: value\nstep_tag: b\nself_test: {question: q, good: [a]}\n",
            "self_test lacks 'bad'",
        ),
        ("kind: prm\nname: a\nhead: value\nmeaning: good\n", "meaning must be one of correctness, value, advantage"),
        ("name: [unclosed\n", "cannot be read"),
    ],
)
def test_malformed_card_names_the_file_and_the_field(tmp_path, text, message):
    file = write(tmp_path, text)
    with pytest.raises(UserError) as error:
        cards.load(file)
    assert str(file) in str(error.value)
    assert message in str(error.value)


def test_order_of_look_up(tmp_path):
    """The model's own card, unless --card names one; then the card that lists the folder's name."""
    folder = tmp_path / "openr-tiny-policy"
    folder.mkdir()
    listed = cards.find(str(folder), "lm")
    assert listed.name == "openr-tiny-policy"
    write(folder, "kind: lm\nname: own\n")
    assert cards.find(str(folder), "lm").name == "own"
    assert cards.find(str(folder), "lm", "qwen2.5-math").name == "qwen2.5-math"
    elsewhere = tmp_path / "my card.yaml"
    elsewhere.write_text("kind: lm\nname: elsewhere\n", encoding="utf-8")
    assert cards.find(str(folder), "lm", str(elsewhere)).name == "elsewhere"


def test_names_match_exactly(tmp_path):
    with pytest.raises(UserError, match=r"no card lists the model 'my-qwen2.5-math'; name one with --card: .*math-psa"):
        cards.find("my-qwen2.5-math", "lm")
    with pytest.raises(UserError, match="name one with --prm_card: "):
        cards.find("my-qwen2.5-math", "prm", flag="--prm_card")
    with pytest.raises(UserError, match=r"add it to the `models` of one: .*math-psa"):
        cards.find("my-qwen2.5-math", "prm", flag="")
    for path in (f"{tmp_path}/none", "./none", "results/run/none"):
        with pytest.raises(UserError, match=f"^there is no folder {path}$"):
            cards.find(path, "lm")
    with pytest.raises(UserError, match=r"no card 'nosuch'; there are: .*qwen2.5-math"):
        cards.find("x", "lm", "nosuch")


def test_card_of_the_other_kind_is_refused(tmp_path):
    """Named, in the model's own folder, or listing the model."""
    with pytest.raises(UserError, match=r"'math-psa' is of a reward model \(kind prm\), it cannot be a language model"):
        cards.find("x", "lm", "math-psa")
    write(tmp_path, "kind: lm\nname: own\n")
    for model, name in ((str(tmp_path), "own"), ("models/openr-tiny-policy", "openr-tiny-policy")):
        expected = f"^{model}: card '{name}' is of a language model .*cannot be a reward model; --card names another"
        with pytest.raises(UserError, match=expected):
            cards.find(model, "prm")


def test_cards_are_values():
    card = cards.find("openr-tiny-prm", "prm")
    assert dataclasses.replace(card) == card


def test_the_tokenizers_template_fills_only_a_card_that_needs_it() -> None:
    class Tokenizer:
        chat_template: str | None = "{{ messages }}"

    prm = PRMCard("p", head="token_logits", step_tag="x")
    assert with_template(LMCard("c"), Tokenizer()).chat_template == "{{ messages }}"
    assert with_template(LMCard("c", prompt="{question}"), Tokenizer()).chat_template == ""
    assert with_template(LMCard("c", chat_template="own"), Tokenizer()).chat_template == "own"
    assert with_template(prm, Tokenizer()).chat_template == ""
    Tokenizer.chat_template = None
    with pytest.raises(UserError, match="chat template"):
        with_template(LMCard("c"), Tokenizer())
