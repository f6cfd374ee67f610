"""What the embedded PRM is pretrained on: every token has its target, and a spoilt step is wrong."""

import random

import pytest
from transformers import AutoTokenizer

from envs.arithmetic.oracle import judge
from prm.scoring.layout import Layouter
from reason.model_cards import card as cards
from train.tiny.prm_examples import BAD, GOOD, UNKNOWN, corrupted, right, spoil

QUESTION = "23 + 9 * 3 + 68"
STEPS = ["9 * 3 = 27; 23 + 27 + 68\n", "23 + 27 = 50; 50 + 68\n", "50 + 68 = 118"]


@pytest.fixture(scope="module")
def layouter():
    return Layouter(cards.find("openr-tiny-prm", "prm"), AutoTokenizer.from_pretrained(
        "reason/llm_service/models/openr-tiny-policy"))  # fmt: skip


def text(layouter, example, target):
    return layouter.tokenizer.decode([i for i, t in zip(example.ids, example.targets, strict=True) if t == target])


def test_every_token_of_a_right_solution_has_a_target_and_the_question_has_none(layouter):
    example = right(layouter, QUESTION, STEPS)
    assert text(layouter, example, UNKNOWN) == QUESTION + "\n"
    assert text(layouter, example, GOOD) == "<|step|>\n".join(step.strip() for step in STEPS) + "<|step|>"
    assert [example.ids[i] for i in example.tags] == [layouter.tag] * 3


def test_a_corrupted_solution_is_right_before_its_first_bad_token_and_wrong_from_there(layouter):
    rng = random.Random(0)
    sound = right(layouter, QUESTION, STEPS)
    for _ in range(300):
        example = corrupted(layouter, QUESTION, STEPS, rng)
        error = example.targets.index(BAD)
        assert example.ids[:error] == sound.ids[:error]
        assert example.ids[error] != sound.ids[error]
        assert set(example.targets[error:]) == {BAD}
        steps = layouter.tokenizer.decode(example.ids).split("\n", 1)[1].replace("<|step|>", "").split("\n")
        verdicts = judge(QUESTION, steps)
        assert [verdict.prefix_ok for verdict in verdicts] == [True] * (len(steps) - 1) + [False]


def test_every_kind_of_step_can_be_spoilt():
    rng = random.Random(1)
    for step in ("7 * 8 = 56", "Wait, 7 * 8 = 56; 56 + 1\n", "12"):
        for _ in range(50):
            assert spoil(step, rng) != step
