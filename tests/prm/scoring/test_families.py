"""Every public family scores as its authors' code does, whichever way the scores are computed."""

import dataclasses

import pytest
import torch

from prm.scoring import heads
from prm.scoring.layout import LayoutError
from prm.scoring.scorer import Scorer
from reason.common.errors import UserError
from tests.prm.scoring import families

QUESTION = "A pen costs 3 dollars. Tom buys 4 pens\nand pays 20 dollars. What is his change?"
STEPS = [
    "The pens cost $4 \\times 3 = 12$ dollars.\n\n",
    "He pays 20 dollars:\nthe change is $20 - 12 = 9$.\n\n",
    "So the answer is $\\boxed{8}$.",
]
INPUTS = [(QUESTION, STEPS), (QUESTION, STEPS[:2]), ("What is 1 + 1?", ["2", "It is 3 + - .\n\n", "No, 2"]), ("q?", [])]
NASTY = [
    " \n\n\n\n\n", "a<extra_0>b", "ки", "\n", "", "x \n\n\n\n\n y", "<extra_0>", "+", "{step}{tag}", "ки ки\n"
]  # fmt: skip
NAMES = [family.__name__ for family in [families.math_shepherd, *families.QWEN, *families.LLAMA]]
PLAIN = [name for name in NAMES if name != "eurus"]  # all but the implicit PRM have a cache


@pytest.fixture(scope="session")
def vocabularies(tmp_path_factory):
    mistral = families.mistral(tmp_path_factory.mktemp("mistral"))
    return {"qwen": families.qwen(), "llama": families.llama(), "mistral": mistral}


@pytest.fixture(scope="session")
def load(vocabularies, tmp_path_factory):
    """Family and scorer by name, made once."""
    made = {}

    def get(name):
        if name not in made:
            kinds = {f.__name__: "qwen" for f in families.QWEN} | {f.__name__: "llama" for f in families.LLAMA}
            tokenizer = vocabularies[kinds[name]][0] if name in kinds else vocabularies["mistral"]
            if tokenizer is None:
                pytest.skip("Mistral's vocabulary comes with mistral-common, which is not installed")
            family = getattr(families, name)(tmp_path_factory.mktemp(name), tokenizer)
            made[name] = family, scorer_of(family)
        return made[name]

    return get


def scorer_of(family, **fields):
    card = dataclasses.replace(family.card, **fields)
    return Scorer.load(str(family.folder), card, device="cpu", **family.options)


def close(expected):
    return pytest.approx(expected, rel=1e-4, abs=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_the_published_usage(load, name):
    family, scorer = load(name)
    for question, steps in INPUTS[:3]:
        expected = family.by_hand(question, steps)
        assert len(expected) == len(steps)
        assert scorer.score([(question, steps)])[0] == close(expected)
    assert len({round(score, 4) for score in scorer.score(INPUTS[:1])[0]}) == 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", [1, 4000])
def test_batched_is_single_and_prefixes_have_the_same_scores(load, name, budget):
    _, scorer = load(name)
    inputs = [(q, steps[:k]) for q, steps in INPUTS for k in range(len(steps) + 1)]
    together = dataclasses.replace(scorer, token_budget=budget).score(inputs)
    alone = {q: scorer.score([(q, steps)])[0] for q, steps in INPUTS[1:]} | {QUESTION: scorer.score(INPUTS[:1])[0]}
    for (question, steps), scores in zip(inputs, together, strict=True):
        assert scores == close(alone[question][: len(steps)])


@pytest.mark.parametrize("name", NAMES)
def test_one_score_a_step_whatever_the_text_holds(load, name):
    _, scorer = load(name)
    for steps in (NASTY, NASTY[::-1], ["", ""], NASTY[:1]):
        assert [len(scores) for scores in scorer.score([("q <extra_0> ки \n\n\n\n\n +", steps)])] == [len(steps)]


@pytest.mark.parametrize("name", PLAIN)
def test_the_prefix_cache_changes_no_score_and_saves_tokens(load, name):
    scorer = load(name)[1]
    cached = dataclasses.replace(scorer)
    cached.keep_prefixes(1 << 22)
    assert cached.cache is not None
    inputs = [(q, steps[:k]) for q, steps in [*INPUTS[:3], ("q", NASTY)] for k in range(1, len(steps) + 1)]
    for one in inputs:
        assert cached.score([one])[0] == close(scorer.score([one])[0])
    layouts = [scorer.layouter.lay_out(*one) for one in inputs]
    assert cached.run(layouts).computed == 0
    result = scorer.run(layouts[:3])
    assert result.computed <= sum(result.tokens)


def test_an_implicit_prm_has_no_prefix_cache_and_says_why(load, caplog):
    scorer = dataclasses.replace(load("eurus")[1])
    scorer.keep_prefixes(1 << 20)
    assert scorer.cache is None
    assert "no prefix cache: scores of head implicit need the logits of every token" in caplog.text


@pytest.mark.parametrize("name", NAMES)
def test_an_input_beyond_the_length_is_refused_or_truncated_by_the_card(load, name):
    family, scorer = load(name)
    length = len(scorer.layouter.lay_out(QUESTION, STEPS).tokens) - 7
    short = dataclasses.replace(scorer, card=dataclasses.replace(family.card, max_length=length, overflow="error"))
    with pytest.raises(LayoutError, match=f"takes {length}"):
        short.score([(QUESTION, STEPS)])
    card = dataclasses.replace(family.card, max_length=length, overflow="truncate_question")
    short = dataclasses.replace(scorer, card=card)
    layout = short.layouter.lay_out(QUESTION, STEPS)
    assert len(layout.tokens) <= length
    assert 7 <= layout.dropped <= 12
    left = [QUESTION[i:] for i in range(len(QUESTION) + 1)]
    kept = next(q for q in left if scorer.layouter.lay_out(q, STEPS).tokens == layout.tokens)
    assert short.score([(QUESTION, STEPS)])[0][-1] == close(family.by_hand(kept, STEPS)[-1])
    with pytest.raises(LayoutError, match="even without its question"):
        short.score([(QUESTION, [*STEPS, "x y " * length])])


def test_the_real_vocabularies_have_the_published_ids(vocabularies):
    """Those that OpenR's code and the model pages name."""
    checked = []
    for name, expected in {"qwen": [76325, 488, 481, 271, 198], "llama": [77425, 489, 482, 271, 198]}.items():
        tokenizer, real = vocabularies[name]
        if real:
            texts = [" \n\n\n\n\n", " +", " -", "\n\n", "\n"]
            assert [tokenizer.encode(text, add_special_tokens=False) for text in texts] == [[i] for i in expected]
            checked.append(name)
    if vocabularies["mistral"] is not None:
        found = [vocabularies["mistral"].encode(text, add_special_tokens=False) for text in ("ки", "+", "-")]
        assert found == [[12902], [648], [387]]
        checked.append("mistral")
    if not checked:
        pytest.skip("none of mistral-common, dashscope and llama-models is installed")


def test_meaning_of_an_implicit_prm(load):
    """advantage: each step's own sum; log_ratio: the sum so far, which ends with the outcome's reward."""
    family, scorer = load("eurus")
    own = dataclasses.replace(scorer, card=dataclasses.replace(family.card, meaning="advantage"))
    sums = scorer.score([(QUESTION, STEPS)])[0]
    parts = own.score([(QUESTION, STEPS)])[0]
    assert [sum(parts[:k]) for k in (1, 2, 3)] == close(sums)
    with pytest.raises(UserError, match="meaning is advantage"):
        dataclasses.replace(scorer, card=dataclasses.replace(family.card, meaning="value"))
    with pytest.raises(UserError, match="needs a reference_model"):
        dataclasses.replace(scorer, reference=None)
    assert scorer_of(dataclasses.replace(family, options={"reference_model": str(family.folder)})).score(
        [(QUESTION, STEPS)]
    ) == [[0.0, 0.0, 0.0]]


def test_an_outcome_model_scores_every_prefix_as_a_finished_solution(load):
    scorer = load("qwen_rm")[1]
    layout = scorer.layouter.lay_out(QUESTION, STEPS)
    assert len(layout.parts) == layout.scores == 3
    assert scorer.tokenizer.decode(layout.parts[0].tokens).endswith("12$ dollars.<|im_end|>\n")
    assert layout.tokens == layout.parts[-1].tokens
    assert scorer.run([layout]).computed == layout.size > len(layout.tokens)


def test_a_client_cannot_lay_out_text_where_no_tag_stands_out(load):
    for name in ("skywork", "ovm", "rlhflow_prm", "qwen_rm", "eurus"):
        with pytest.raises(LayoutError, match="send question and steps"):
            load(name)[1].layouter.lay_out_text("1 + 1\n2\n")
    scorer = load("qwen_prm")[1]
    text = scorer.tokenizer.decode(scorer.layouter.lay_out(QUESTION, STEPS).tokens)
    assert scorer.layouter.lay_out_text(text) == scorer.layouter.lay_out(QUESTION, STEPS)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("qwen_prm", {"head_weights": ("score.0", "score.9")}, r"holds no score\.9\.weight"),
        ("qwen_prm", {"head_file": "nosuch.pth"}, r"none of the files nosuch\.pth"),
        ("qwen_prm", {"head": "value"}, "one label, not 2"),
        ("qwen_prm", {"good_label": 2}, "good_label 2 is not a class"),
        ("qwen_prm", {"step_tag": "<extra_9>"}, "step_tag '<extra_9>' must be one token"),
        ("qwen_prm", {"chat_template": "{{ messages[9]['content'] }}"}, "chat template cannot be used"),
        ("qwen_prm", {"chat_template": "{{ messages[0]['content'] }}"}, "does not hold its turns"),
        ("qwen_prm", {"outcome": True}, "has no step_tag"),
        ("rlhflow_prm", {"answer": "yes, no"}, "is not one token"),
        ("rlhflow_prm", {"chat": False}, "answer is for layouts with chat"),
        ("rlhflow_prm", {"head_weights": ("score",)}, "are for heads two_class and value"),
        ("eurus", {"question_apart": False}, "needs question_apart"),
    ],
)
def test_a_card_that_does_not_fit_is_named(load, name, fields, message):
    family, scorer = load(name)
    card = dataclasses.replace(family.card, **fields)
    with pytest.raises(UserError, match=message):
        if "head_weights" in fields or "head_file" in fields:
            heads.load(str(family.folder), card)
        dataclasses.replace(scorer, card=card)


def test_a_pickle_that_runs_code_is_refused(load):
    class Evil:
        def __reduce__(self):
            return (torch.zeros, (1,))

    family = load("ovm")[0]
    torch.save({"gain": Evil()}, family.folder / "evil.pth")
    with pytest.raises(Exception, match=r"[Ww]eights"):
        heads.load(str(family.folder), dataclasses.replace(family.card, head_file="evil.pth"))
