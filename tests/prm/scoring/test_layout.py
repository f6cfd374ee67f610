"""From question and steps to tokens: one score a step whatever the text holds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prm.scoring.layout import Layouter, LayoutError
from reason.common.errors import UserError
from tests.prm.tiny import CARD, changed

STEPS = ["9 * 3 = 27; 23 + 27\n", "23 + 27 = 50"]
PIECES = ["<|step|>", "<|good|>", "<|", "step", "|>", "ки", " ", "\n", "{n}", "{step}", "7 + 1", "é"]
NASTY = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


@pytest.fixture(scope="module")
def layouter(tokenizer):
    return Layouter(CARD, tokenizer)


def test_layout_is_the_cards_text(layouter, tokenizer):
    layout = layouter.lay_out("23 + 9 * 3", STEPS)
    text = "23 + 9 * 3\n9 * 3 = 27; 23 + 27<|step|>\n23 + 27 = 50<|step|>"
    assert list(layout.tokens) == tokenizer.encode(text)
    assert layout == layouter.lay_out_text(text + "\n")
    tag = tokenizer.convert_tokens_to_ids("<|step|>")
    assert [layout.tokens[p] for p in layout.positions] == [tag, tag]


@given(question=NASTY, steps=st.lists(NASTY, max_size=4))
@settings(max_examples=200, deadline=None)
def test_any_text_has_one_score_a_step_and_prefixes_stay_prefixes(layouter, question, steps):
    whole = layouter.lay_out(question, steps)
    assert len(whole.positions) == len(steps)
    assert [i for i, token in enumerate(whole.tokens) if token == layouter.tag] == list(whole.positions)
    for k in range(len(steps) + 1):
        part = layouter.lay_out(question, steps[:k])
        assert whole.tokens[: len(part.tokens)] == part.tokens
        assert whole.positions[:k] == part.positions


def test_tag_inside_a_step_is_spelled_out_and_at_its_end_dropped(layouter, tokenizer):
    inside = layouter.lay_out("q", ["a<|step|>b", "c"])
    assert tokenizer.decode(inside.tokens) == "q\na<|step|>b<|step|>\nc<|step|>"
    assert len(inside.positions) == 2
    assert layouter.lay_out("q", ["a <|step|>\n", "c"]) == layouter.lay_out("q", ["a", "c"])


def test_text_of_a_step_is_no_layout(layouter, tokenizer):
    assert "{n} {tag} {question}" in tokenizer.decode(layouter.lay_out("q", ["{n} {tag} {question}"]).tokens)


def test_step_numbers(tokenizer):
    layouter = Layouter(changed(step="Step {n}: {step}{tag}\n"), tokenizer)
    assert tokenizer.decode(layouter.lay_out("q", ["a", "b"]).tokens) == "q\nStep 1: a<|step|>\nStep 2: b<|step|>"


def test_without_strip_steps_stay_as_written(tokenizer):
    layouter = Layouter(changed(strip=False, step="{step}{tag}"), tokenizer)
    assert tokenizer.decode(layouter.lay_out("q", [" a\n", "b"]).tokens) == "q\n a\n<|step|>b<|step|>"


def test_no_steps_need_no_score(layouter):
    assert layouter.lay_out("q", []).positions == ()


@pytest.mark.parametrize("tag", ["<|nostep|>", "ки"])
def test_tag_of_several_tokens_is_refused(tokenizer, tag):
    count = len(tokenizer.encode(tag))
    with pytest.raises(UserError, match=rf"step_tag '{tag.replace('|', '[|]')}' must be one token, but is {count}"):
        Layouter(changed(step_tag=tag), tokenizer)


def test_tag_that_any_text_may_hold_is_refused(tokenizer):
    with pytest.raises(UserError, match="single character"):
        Layouter(changed(step_tag="7"), tokenizer)


def test_a_tag_of_white_space_is_ordinary_text(tokenizer):
    """Only the end of a step has a score; what the text holds of it stays."""
    layouter = Layouter(changed(step_tag="\n", question="{question}\n", step="{step}{tag}"), tokenizer)
    layout = layouter.lay_out("a\nb", ["c\nd", "e\n"])
    assert tokenizer.decode(layout.tokens) == "a\nb\nc\nd\ne\n"
    assert layout.positions == (7, 9)
    with pytest.raises(LayoutError, match="send question and steps"):
        layouter.lay_out_text("a\nb\n")


def test_without_a_tag_the_score_stands_at_the_end_of_the_step(tokenizer):
    layouter = Layouter(changed(step_tag="", step="{step}\n{tag}"), tokenizer)
    layout = layouter.lay_out("q", ["a", "bc"])
    assert tokenizer.decode(layout.tokens) == "q\na\nbc\n"
    assert layout.positions == (3, 6)
    assert layout.key == (*layout.tokens[:4], -1, *layout.tokens[4:], -1)
    assert layouter.lay_out("q", ["a\nbc"]).key != layout.key  # the same tokens, another step


def test_an_outcome_model_has_a_part_for_each_step(tokenizer):
    layouter = Layouter(changed(step_tag="", outcome=True, step="{step}{tag}\n", closing="."), tokenizer)
    layout = layouter.lay_out("q", ["a\n", "b"])
    assert [tokenizer.decode(part.tokens) for part in layout.parts] == ["q\na.", "q\na\nb."]
    assert [part.positions for part in layout.parts] == [(3,), (5,)]
    assert (layout.tokens, layout.scores, layout.size) == (layout.parts[-1].tokens, 2, 10)
    assert layout.key[:5] == layouter.lay_out("q", ["a"]).key
    assert layouter.lay_out("q", []).scores == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"step": "{step}"}, "step must hold"),
        ({"step": "{tag}{step}"}, "step must hold"),
        ({"question": "Q: "}, "question must hold"),
        ({"overflow": "cut"}, "overflow must be"),
    ],
)
def test_layout_of_a_card_is_checked(tokenizer, fields, message):
    with pytest.raises(UserError, match=message):
        Layouter(changed(**fields), tokenizer)


def test_overflow_is_an_error_by_default(tokenizer):
    layouter = Layouter(changed(max_length=20), tokenizer)
    with pytest.raises(LayoutError, match="is 36 tokens, but card 'openr-tiny-prm' takes 20"):
        layouter.lay_out("1" * 30, ["23 + 4"])
    assert Layouter(CARD, tokenizer, context_length=20).max_length == 20


def test_overflow_may_truncate_the_question_from_its_left(tokenizer):
    layouter = Layouter(changed(max_length=20, overflow="truncate_question"), tokenizer)
    layout = layouter.lay_out("x" * 10 + "y" * 10, ["12", "34"])
    assert tokenizer.decode(layout.tokens) == "x" * 2 + "y" * 10 + "\n12<|step|>\n34<|step|>"
    assert (len(layout.tokens), layout.dropped) == (20, 8)
    assert [layout.tokens[p] for p in layout.positions] == [layouter.tag] * 2
    with pytest.raises(LayoutError, match="even without its question"):
        layouter.lay_out("x", ["1" * 40])


def test_text_without_a_tag_is_an_error(layouter):
    with pytest.raises(LayoutError, match="no step tag"):
        layouter.lay_out_text("1 + 1 = 2")


def test_text_that_is_no_unicode_is_an_error(layouter):
    with pytest.raises(LayoutError, match="not valid Unicode"):
        layouter.lay_out("q", ["\ud800"])


def sentencepiece_like(folder):
    """A tokenizer with beginning-of-text token, and a space before any text, as Mistral's."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = "▁<s>0123456789aeinopstуи:.к+-\n"
    tokens = ["<unk>", "<s>", *sorted(set(letters) - set("<>")), "▁к", "▁ки", "▁+", "▁-"]
    vocab = {token: index for index, token in enumerate(tokens)}
    merges = [("▁", "к"), ("▁к", "и"), ("▁", "+"), ("▁", "-")]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", vocab["<s>"])])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")


def test_tokenizer_that_puts_a_space_before_any_text(tmp_path):
    """Math-Shepherd's layout: run by run gives the tokens of the whole text."""
    from reason.model_cards import card as cards

    layouter = Layouter(cards.find("math-shepherd-mistral-7b-prm", "prm"), sentencepiece_like(tmp_path))
    steps = ["stop 1: 2 + 3 ки\n", "ки is 5 ки\n"]
    layout = layouter.lay_out("a to 1", steps)
    assert layout.tokens[0] == layouter.tokenizer.bos_token_id
    assert len(layout.positions) == 2
    plain = layouter.lay_out("a to 1", ["stop 1: 2 + 3", "is 5"])
    assert plain == layouter.lay_out_text("a to 1 stop 1: 2 + 3 ки\nis 5 ки")
