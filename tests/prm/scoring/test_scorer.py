"""Scores: what they are, and that they do not depend on what is scored beside them."""

import dataclasses
import logging
import random

import pytest
import torch

from prm.scoring.layout import LayoutError
from prm.scoring.scorer import ScoreError, Scorer
from reason.common.errors import UserError
from tests.prm.tiny import CARD, changed, save_prm, some_inputs, write_card

QUESTION = "23 + 9 * 3"
STEPS = ["9 * 3 = 27; 23 + 27\n", "23 + 27 = 50"]


def by_hand(scorer, question, steps):
    """P(good) at each tag, from the whole model's own logits over the whole vocabulary."""
    text = question + "\n" + "".join(step.strip() + "<|step|>\n" for step in steps)
    ids = scorer.tokenizer.encode(text)
    tag, good, bad = scorer.tokenizer.convert_tokens_to_ids(["<|step|>", "<|good|>", "<|bad|>"])
    with torch.no_grad():
        logits = scorer.model(torch.tensor([ids])).logits[0]
    return [logits[i][[good, bad]].softmax(-1)[0].item() for i, token in enumerate(ids) if token == tag]


def test_scores_are_those_of_the_definition(scorer):
    expected = by_hand(scorer, QUESTION, STEPS)
    assert scorer.score([(QUESTION, STEPS)]) == [pytest.approx(expected, abs=1e-6)]
    assert len({round(score, 3) for score in expected}) == 2  # a random model that tells steps apart


@pytest.mark.parametrize("budget", [1, 300, 4000])
def test_batched_scores_equal_single_ones(scorer, budget):
    inputs = some_inputs(40)
    together = dataclasses.replace(scorer, token_budget=budget).score(inputs)
    assert [len(scores) for scores in together] == [len(steps) for _, steps in inputs]
    for one, scores in zip(inputs, together, strict=True):
        assert scores == pytest.approx(scorer.score([one])[0], abs=1e-5)


def test_prefixes_and_repetitions_are_computed_once(scorer):
    inputs = [(q, steps[:k]) for q, steps in some_inputs(6) for k in range(len(steps) + 1)] * 2
    random.Random(0).shuffle(inputs)
    layouts = [scorer.layouter.lay_out(*one) for one in inputs]
    result = scorer.run(layouts)
    assert result.tokens == [len(layout.tokens) for layout in layouts]
    assert result.computed == sum(len(scorer.layouter.lay_out(*one).tokens) for one in some_inputs(6))
    for one, scores in zip(inputs, result.all_scores(), strict=True):
        assert scores == pytest.approx(by_hand(scorer, *one), abs=1e-5)


def test_a_score_does_not_depend_on_later_steps(scorer):
    whole = scorer.score([(QUESTION, STEPS)])[0]
    assert scorer.score([(QUESTION, STEPS[:1])])[0] == pytest.approx(whole[:1], abs=1e-6)


def test_nothing_to_score(scorer):
    assert scorer.score([]) == []
    assert scorer.score([(QUESTION, [])]) == [[]]
    assert scorer.run([scorer.layouter.lay_out(QUESTION, [])]).computed == 0


def test_empty_steps_and_tags_in_the_text_have_one_score_each(scorer):
    assert [len(s) for s in scorer.score([(QUESTION, ["", " ", "a<|step|>b", "<|step|>"])])] == [4]


def test_a_score_that_is_no_number_is_an_error_of_its_input_alone(prm_folder):
    scorer = Scorer.load(str(prm_folder), CARD, device="cpu")
    poison = scorer.tokenizer.convert_tokens_to_ids("x")
    embedding = scorer.model.get_input_embeddings()
    embedding.register_forward_hook(lambda _, args, out: out.masked_fill((args[0] == poison)[..., None], torch.nan))
    inputs = [("1 + 1", ["2"]), ("1 + 1", ["3", "x"])]
    result = scorer.run([scorer.layouter.lay_out(*one) for one in inputs])
    assert result.scores[0] == pytest.approx(scorer.score(inputs[:1])[0], abs=1e-6)
    assert isinstance(result.scores[1], ScoreError)
    with pytest.raises(ScoreError, match=r"input 1: .* not a finite number"):
        scorer.score(inputs)


def test_too_long_an_input_is_an_error(scorer):
    with pytest.raises(LayoutError, match="1024"):
        scorer.score([("1" * 2000, ["2"])])


def test_out_of_memory_halves_the_batch(scorer, monkeypatch, caplog):
    layouts = [scorer.layouter.lay_out(*one) for one in some_inputs(5)]
    expected = scorer.forward(layouts)
    real = Scorer._forward

    def small(self, layouts):
        if len(layouts) > 2 or len(layouts[0].tokens) > 10**6:
            raise torch.cuda.OutOfMemoryError("full")
        return real(self, layouts)

    monkeypatch.setattr(Scorer, "_forward", small)
    for scores, whole in zip(scorer.forward(layouts), expected, strict=True):
        assert scores == pytest.approx(whole, abs=1e-5)
    assert "halved" in caplog.text


@pytest.mark.parametrize(
    ("head", "meaning"), [("two_class", "correctness"), ("value", "value"), ("value", "log_ratio")]
)
def test_heads_of_token_classifiers(tmp_path, head, meaning):
    card = changed(head=head, meaning=meaning, self_test=None)
    save_prm(tmp_path, card, num_labels=2 if head == "two_class" else 1)
    scorer = Scorer.load(str(tmp_path), card, device="cpu")
    layout = scorer.layouter.lay_out(QUESTION, STEPS)
    with torch.no_grad():
        logits = scorer.model(torch.tensor([layout.tokens])).logits[0, list(layout.positions)]
    expected = {
        "two_class": logits.softmax(-1)[:, -1],
        "value": logits[:, 0] if meaning == "log_ratio" else logits[:, 0].sigmoid(),
    }[head]
    assert scorer.score([(QUESTION, STEPS)])[0] == pytest.approx(expected.tolist(), abs=1e-5)


def test_head_that_does_not_fit_the_model(tmp_path):
    save_prm(tmp_path, None, num_labels=2)
    with pytest.raises(UserError, match="head value needs a model with one label, not 2"):
        Scorer.load(str(tmp_path), changed(head="value", self_test=None), device="cpu")
    with pytest.raises(UserError, match="good_label 5"):
        Scorer.load(str(tmp_path), changed(head="two_class", good_label=5, self_test=None), device="cpu")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"head": "magic"}, "head must be one of token_logits, two_class, value, implicit, not 'magic'"),
        ({"chat": True, "chat_template": "{{ nosuch.field }}"}, "chat template cannot be used"),
        ({"good": "<|verygood|>"}, "good '<[|]verygood[|]>' must be one token, but is 12"),
    ],
)
def test_card_that_cannot_be_served(prm_folder, fields, message):
    with pytest.raises(UserError, match=message):
        Scorer.load(str(prm_folder), changed(**fields), device="cpu")


def test_self_test_warns_of_a_model_that_cannot_rank(prm_folder, caplog):
    test = CARD.self_test
    with caplog.at_level(logging.WARNING):
        right = Scorer.load(str(prm_folder), CARD, device="cpu").self_test()
        silent = not caplog.records
        swapped = changed(self_test=dataclasses.replace(test, good=test.bad, bad=test.good))
        wrong = Scorer.load(str(prm_folder), swapped, device="cpu").self_test()
    assert right is not wrong  # a random model ranks the two one way or the other
    assert silent is right
    assert "self-test's bad solution scores" in caplog.text
    assert Scorer.load(str(prm_folder), changed(self_test=None), device="cpu").self_test() is None


def test_adapter_is_loaded_over_its_base(tmp_path):
    peft = pytest.importorskip("peft")
    base = save_prm(tmp_path / "base", None)
    plain = Scorer.load(str(base), CARD, device="cpu")
    expected_base = plain.score([(QUESTION, STEPS)])
    torch.manual_seed(1)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(plain.model, config)
    adapted.save_pretrained(tmp_path / "adapter")
    with torch.no_grad():
        adapted.eval()
        expected = by_hand(dataclasses.replace(plain), QUESTION, STEPS)  # the adapter's layers are in the model now
    for where in ({"base_model": str(base)}, {}):
        card = changed(base_model="" if where else str(base))
        scorer = Scorer.load(str(tmp_path / "adapter"), card, device="cpu", **where)
        scores = scorer.score([(QUESTION, STEPS)])[0]
        assert scores == pytest.approx(expected, abs=1e-5)
        assert scores != pytest.approx(expected_base[0], abs=1e-3)
    with pytest.raises(UserError, match="is an adapter, so base_model must name"):
        Scorer.load(str(tmp_path / "adapter"), CARD, device="cpu")


def test_card_of_a_folder_survives_being_written(tmp_path):
    from reason.model_cards import card as cards

    write_card(tmp_path, CARD)
    assert cards.find(str(tmp_path), "prm") == CARD
