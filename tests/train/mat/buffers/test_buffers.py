"""Steps among tokens, mini-batches and forward passes."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tests.fakes import ROOT
from tests.train.mat.toys import rollout
from train.mat.buffers.batches import minibatches, passes
from train.mat.buffers.steps import Step, cut_steps

TOKENIZER = AutoTokenizer.from_pretrained(ROOT / "reason/llm_service/models/openr-tiny-policy")
END = TOKENIZER.eos_token_id


class Words:
    """A tokenizer whose token i is the i-th word."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def decode(self, ids, **_):
        return "".join(self.words[i] for i in ids)


def test_steps_end_with_the_token_of_their_separator_and_the_last_one_with_the_last_token() -> None:
    text = "1 + 2 = 3; 3 + 4\n3 + 4 = 7"
    ids = TOKENIZER.encode(text)
    first = len(TOKENIZER.encode("1 + 2 = 3; 3 + 4\n"))
    found = cut_steps(TOKENIZER, TOKENIZER.encode("1 + 2 + 4\n"), [*ids, END], text, "\n")
    assert found == [Step("1 + 2 = 3; 3 + 4\n", first), Step("3 + 4 = 7", len(ids) + 1)]


def test_a_separator_inside_a_token_or_over_two_tokens() -> None:
    words = Words("a", ".\n\n", "b\n", "\n", "c", "\n\nd")
    assert cut_steps(words, [], [0, 1, 2, 3, 4, 5], "a.\n\nb\n\nc\n\nd", "\n\n") == [
        Step("a.\n\n", 2), Step("b\n\n", 4), Step("c\n\nd", 6),
    ]  # fmt: skip


def test_blank_text_and_a_lone_end_token_are_no_steps_of_their_own() -> None:
    words = Words("a", "\n", "")
    assert cut_steps(words, [], [0, 1, 1, 1, 2], "a\n\n\n", "\n") == [Step("a\n\n\n", 5)]
    assert cut_steps(words, [], [1, 0, 1, 0], "\na\na", "\n") == [Step("\na\n", 3), Step("a", 4)]
    assert cut_steps(words, [], [2], "", "\n") == [Step("", 1)]
    assert cut_steps(words, [], [1, 2], "\n", "\n") == [Step("\n", 2)]


@settings(max_examples=60, deadline=None)
@given(st.text("1+ \n=", max_size=30), st.booleans())
def test_steps_cover_text_and_tokens(text: str, ended: bool) -> None:
    ids = TOKENIZER.encode(text) + [END] * ended
    if not ids:
        return
    steps = cut_steps(TOKENIZER, TOKENIZER.encode("1\n"), ids, text, "\n")
    assert "".join(step.text for step in steps) == text
    ends = [step.end for step in steps]
    assert ends == sorted(set(ends)) and ends[-1] == len(ids) and ends[0] > 0
    for step in steps[:-1]:
        assert step.text.strip() and step.text.endswith("\n")


def test_tokens_know_their_step() -> None:
    one = rollout([1, 2, 1, 2], [1, 4], [0.0, 1.0])
    assert one.step_of_token().tolist() == [0, 1, 1, 1]
    assert one.sum_by_step(torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist() == [1.0, 9.0]
    assert one.starts == [0, 1]


def test_minibatches_hold_every_solution_once_and_follow_their_seed() -> None:
    many = [rollout([1], [1], [0.0], group=i) for i in range(10)]
    parts = minibatches(many, 4, "a")
    assert sorted(one.group for part in parts for one in part) == list(range(10))
    assert [len(part) for part in parts] == [3, 3, 2, 2]
    assert [[o.group for o in p] for p in parts] == [[o.group for o in p] for p in minibatches(many, 4, "a")]
    assert [[o.group for o in p] for p in parts] != [[o.group for o in p] for p in minibatches(many, 4, "b")]
    assert len(minibatches(many[:2], 4, "a")) == 2


def test_passes_keep_to_the_budget_and_point_at_where_tokens_are_predicted() -> None:
    many = [rollout([1 + i % 2] * (1 + i), [1 + i], [0.0]) for i in range(6)]
    found = passes(many, 8, torch.device("cpu"))
    assert all(one.input_ids.numel() <= 8 or len(one.rollouts) == 1 for one in found)
    assert sum(len(one.rollouts) for one in found) == 6
    for one in found:
        assert torch.equal(one.input_ids[one.rows, one.positions + 1], one.next_tokens)
        assert [len(part) for part in one.split(one.next_tokens)] == [len(r.token_ids) for r in one.rollouts]
        assert [one.input_ids[i, p].item() for i, p in enumerate(one.last)] == [r.token_ids[-1] for r in one.rollouts]
