"""The prefix cache: scores are those of reading everything again, and no token is read twice."""

import asyncio
import dataclasses
import logging
import random

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
)

from prm.scoring.batcher import Batcher
from prm.scoring.prefix_cache import PrefixCache
from prm.scoring.scorer import ScoreError, Scorer
from tests.prm.tiny import CARD, changed, save_prm

TINY = 400  # tokens: far fewer than a tree has


def cached(scorer, tokens=100_000, **changes):
    """The scorer with an empty cache that holds so many tokens."""
    scorer = dataclasses.replace(scorer, **changes)
    per_token = 2 * 4 * sum(layer.self_attn.k_proj.out_features for layer in scorer.model.base_model.layers)
    scorer.cache = PrefixCache(scorer.model, scorer.head, scorer.layouter.tag, scorer.token_budget, tokens * per_token)
    assert scorer.cache.trie.capacity == tokens
    return scorer


def grow(rng, questions=4, rounds=6):
    """Requests of random trees as searches send them: some children of a node, some of them equal, some empty."""
    trees = {f"{q} + 1{q} * 3": [[]] for q in range(questions)}
    requests = []
    for _ in range(rounds):
        for question, nodes in trees.items():
            parent = rng.choice(nodes)
            children = [[*parent, f"{rng.randrange(3)} + 4 = {rng.randrange(30)}; 5 + 6"[: rng.randrange(22)]]
                        for _ in range(rng.randrange(1, 5))]  # fmt: skip
            if rng.random() < 0.3:  # to the end
                children = [child + [f"= {rng.randrange(9)}"] * rng.randrange(1, 4) for child in children]
            nodes += children
            requests.append([(question, child) for child in children])
    return requests


def lay_out(scorer, request):
    return [scorer.layouter.lay_out(*one) for one in request]


def distinct_tokens(layouts):
    """Nodes of the tree of all tokens."""
    return len({layout.tokens[:end] for layout in layouts for end in range(1, len(layout.tokens) + 1)})


def assert_same(found, expected):
    for scores, whole in zip(found, expected, strict=True):
        assert scores == pytest.approx(whole, abs=1e-4)


@pytest.mark.parametrize("budget", [1, 64, 1024])
@pytest.mark.parametrize("tokens", [TINY, 100_000])
def test_random_trees_score_as_in_full(scorer, tokens, budget):
    incremental = cached(scorer, tokens, token_budget=budget)
    requests = grow(random.Random(budget))
    computed = 0
    for request in requests:
        layouts = lay_out(scorer, request)
        result = incremental.run(layouts)
        assert_same(result.all_scores(), scorer.run(layouts).all_scores())
        computed += result.computed
    distinct = distinct_tokens([layout for request in requests for layout in lay_out(scorer, request)])
    if tokens == TINY:
        assert distinct < computed
        assert incremental.cache.trie.capacity == TINY < distinct
    else:
        assert computed == distinct


async def test_one_request_or_many_or_one_at_a_time(scorer):
    """Every way to ask gives the same scores and reads each token of the trees once."""
    requests = grow(random.Random(7))
    inputs = [one for request in requests for one in request]
    layouts = lay_out(scorer, inputs)
    expected = scorer.run(layouts).all_scores()
    one = cached(scorer)
    whole = one.run(layouts)
    assert_same(whole.all_scores(), expected)
    single = cached(scorer)
    alone = [single.run([layout]) for layout in layouts]
    assert_same([scores for result in alone for scores in result.all_scores()], expected)
    many = Batcher(cached(scorer))
    together = await asyncio.gather(*(many.run(lay_out(scorer, request)) for request in requests))
    assert_same([scores for result in together for scores in result.all_scores()], expected)
    many.close()
    for results in ([whole], alone, together):
        assert sum(result.computed for result in results) == distinct_tokens(layouts)
        assert sum(sum(result.tokens) for result in results) == sum(len(layout.tokens) for layout in layouts)


async def test_children_that_come_while_their_parent_is_computed(scorer):
    incremental = cached(scorer)
    batcher = Batcher(incremental)
    steps = ["1 + 2 = 3; 3 + 4", "3 + 4 = 7"]
    layouts = lay_out(scorer, [("1 + 2 + 4", steps[:1]), ("1 + 2 + 4", steps), ("1 + 2 + 4", [steps[0], "8"])])
    parent = asyncio.create_task(batcher.run(layouts[:1]))
    await asyncio.sleep(0)
    children = await asyncio.gather(batcher.run(layouts[1:2]), batcher.run(layouts[2:]), parent)
    assert sum(result.computed for result in children) == distinct_tokens(layouts)
    batcher.close()


def test_what_is_known_is_not_computed(scorer, monkeypatch):
    incremental = cached(scorer)
    layouts = lay_out(scorer, [("1 + 1", ["2", "3", "4"][:k]) for k in (3, 1, 3, 0)])
    first = incremental.run(layouts)
    monkeypatch.setattr(PrefixCache, "_forward", lambda *_: pytest.fail("nothing is left to compute"))
    again = incremental.run(layouts)
    assert (again.computed, again.scores) == (0, first.scores)


def test_scores_stay_what_they_were_first(scorer):
    """Also to the last bit: what is scored beside an input does not change a known score."""
    incremental = cached(scorer)
    requests = grow(random.Random(3))
    first = [incremental.run(lay_out(scorer, request)).all_scores() for request in requests]
    everything = incremental.run([layout for request in requests for layout in lay_out(scorer, request)])
    assert everything.all_scores() == [scores for result in first for scores in result]


@pytest.mark.parametrize("head", ["two_class", "value"])
def test_heads_of_token_classifiers(tmp_path, head):
    card = changed(head=head, self_test=None)
    save_prm(tmp_path, card, num_labels=2 if head == "two_class" else 1)
    scorer = Scorer.load(str(tmp_path), card, device="cpu")
    layouts = [layout for request in grow(random.Random(1), 2, 3) for layout in lay_out(scorer, request)]
    assert_same(cached(scorer).run(layouts).all_scores(), scorer.run(layouts).all_scores())


def other_model(scorer, kind, config, **options):
    """A scorer of another architecture with the same tokenizer."""
    torch.manual_seed(0)
    model = kind(config(vocab_size=len(scorer.tokenizer), **options)).eval()
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.normal_(0, 0.2)
    return Scorer(model, scorer.tokenizer, CARD)


MISTRAL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
           "num_key_value_heads": 2, "max_position_embeddings": 1024}  # fmt: skip


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    ("kind", "config", "options"),
    [
        (GPT2LMHeadModel, GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 2}),  # learned positions
        (MistralForCausalLM, MistralConfig, {"sliding_window": 1024, **MISTRAL}),  # a window that no input outgrows
    ],
)
def test_other_architectures(scorer, attention, kind, config, options):
    other = other_model(scorer, kind, config, attn_implementation=attention, **options)
    layouts = [layout for request in grow(random.Random(2), 2, 3) for layout in lay_out(scorer, request)]
    expected = other.run(layouts).all_scores()
    other.keep_prefixes(1 << 24)
    assert other.cache is not None
    result = other.run(layouts)
    assert_same(result.all_scores(), expected)
    assert 0 < result.computed <= distinct_tokens(layouts)


def test_attention_that_cannot_be_kept_goes_without(scorer, caplog, monkeypatch):
    windows = other_model(scorer, MistralForCausalLM, MistralConfig, sliding_window=16, **MISTRAL)
    with caplog.at_level(logging.WARNING):
        windows.keep_prefixes(1 << 24)
    assert windows.cache is None
    assert "no prefix cache: its attention has a sliding_window of 16 tokens" in caplog.text
    deaf = dataclasses.replace(scorer)
    monkeypatch.setattr(PrefixCache, "_read", lambda self, end, layout: [0.5] * len(layout.positions))
    deaf.keep_prefixes(1 << 24)
    assert deaf.cache is None
    assert "its scores would differ by" in caplog.text


def test_attention_that_the_fused_kernel_does_not_compute_goes_without(scorer, caplog):
    """Soft-capped logits: the model keeps its own attention, and its scores."""
    options = MISTRAL | {"head_dim": 8, "sliding_window": 1024, "attn_logit_softcapping": 0.1}
    capped = other_model(scorer, Gemma2ForCausalLM, Gemma2Config, attn_implementation="eager", **options)
    layouts = lay_out(scorer, [("1 + 1 + 3", ["1 + 1 = 2; 2 + 3", "5"]), ("4 + 4", ["8"])])
    expected = capped.run(layouts).all_scores()
    with caplog.at_level(logging.WARNING):
        capped.keep_prefixes(1 << 24)
    assert capped.cache is None
    assert "its scores would differ by" in caplog.text
    assert capped.model.config._attn_implementation == "eager"
    assert capped.run(layouts).all_scores() == expected


def test_a_score_that_is_no_number_is_an_error_of_its_input_alone(prm_folder):
    scorer = cached(Scorer.load(str(prm_folder), CARD, device="cpu"))
    poison = scorer.tokenizer.convert_tokens_to_ids("x")
    embedding = scorer.model.get_input_embeddings()
    embedding.register_forward_hook(lambda _, args, out: out.masked_fill((args[0] == poison)[..., None], torch.nan))
    layouts = lay_out(scorer, [("1 + 1", ["2"]), ("1 + 1", ["3", "x"]), ("1 + 1", ["3"]), ("1 + 1", ["3", "4"])])
    plain = dataclasses.replace(scorer)
    for _ in range(2):
        result = scorer.run(layouts)
        assert isinstance(result.scores[1], ScoreError)
        assert_same([result.scores[i] for i in (0, 2, 3)], plain.run([layouts[i] for i in (0, 2, 3)]).all_scores())
    assert scorer.run(layouts[2:]).all_scores()
    assert scorer.run(layouts[2:]).computed == 0  # the tree without the poison is kept


def test_out_of_memory_halves_the_pass_and_keeps_nothing_half_done(scorer, monkeypatch, caplog):
    incremental = cached(scorer)
    layouts = [layout for request in grow(random.Random(5)) for layout in lay_out(scorer, request)]
    real = PrefixCache.compute

    def small(self, some):
        if len(some) > 2:
            raise torch.cuda.OutOfMemoryError("full")
        return real(self, some)

    monkeypatch.setattr(PrefixCache, "compute", small)
    result = incremental.run(layouts)
    assert_same(result.all_scores(), scorer.run(layouts).all_scores())
    assert result.computed == distinct_tokens(layouts)
    assert "halved" in caplog.text


def test_a_failing_pass_leaves_the_cache_as_it_was(scorer):
    incremental = cached(scorer)
    old, new = lay_out(scorer, [("1 + 1", ["2"]), ("1 + 1", ["2", "3"])])
    incremental.run([old])
    free = incremental.cache.trie.free
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PrefixCache, "_forward", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            incremental.run([new])
    assert incremental.cache.trie.free == free
    result = incremental.run([new])
    assert_same(result.all_scores(), scorer.run([new]).all_scores())
    assert result.computed == len(new.tokens) - len(old.tokens)
