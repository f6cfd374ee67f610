"""Particle filtering: by hand, and by the frequencies of its resampling."""

import math
import random
from collections import Counter

import pytest

from reason.guided_search.particle_filtering import ParticleFiltering, logit, particle_filtering, resample, softmax
from reason.inference.oracle import OracleRM
from tests.reason.guided_search.scripted import MAZE, PROBLEM, TASK, ScriptedLM, ScriptedRM, grow

USUAL = ParticleFiltering()
P = [0.5, 0.3, 0.15, 0.05]


def test_multinomial_frequencies():
    counts = Counter(i for seed in range(500) for i in resample(P, 20, "multinomial", random.Random(seed)))
    for i, p in enumerate(P):
        assert abs(counts[i] - 10_000 * p) < 4 * math.sqrt(10_000 * p * (1 - p))


def test_systematic_frequencies_and_each_count_is_its_expectation_rounded():
    counts = Counter()
    for seed in range(500):
        drawn = Counter(resample(P, 10, "systematic", random.Random(seed)))
        assert sum(drawn.values()) == 10
        assert all(math.floor(10 * p) <= drawn[i] <= math.ceil(10 * p) for i, p in enumerate(P))
        counts += drawn
    for i, p in enumerate(P):
        assert abs(counts[i] - 5_000 * p) < 4 * math.sqrt(500 * 0.25)


def test_weights_are_the_odds_of_the_scores():
    assert softmax([logit(0.8), logit(0.5)]) == pytest.approx([0.8, 0.2])  # odds 4 and 1


async def test_particles_gather_where_the_prefix_is_good_in_proportion_to_their_weights():
    script = {"": ["good\n", "poor\n"], "good\n": ["answer 1"], "poor\n": ["answer 2"]}
    scores = {"good\n": 0.8, "poor\n": 0.5, "answer 1": 0.5, "answer 2": 0.5}
    for resampling, spread in (("multinomial", 4 * math.sqrt(1000 * 0.16)), ("systematic", 1)):
        lm = ScriptedLM(script)
        tree = grow(lm, ScriptedRM(scores))
        solutions = await particle_filtering(tree, 1000, 5, ParticleFiltering(resampling=resampling))
        assert len(solutions) == 1000
        assert abs(dict(lm.asked)["good\n"] - 800) <= spread
        assert tree.limits.steps == 2000


async def test_a_finished_particle_stays_with_its_weight():
    script = {"": ["answer 0", "a\n"], "a\n": ["answer 1"]}
    tree = grow(ScriptedLM(script), ScriptedRM({"answer 0": 0.75, "a\n": 0.5, "answer 1": 0.5}))
    solutions = await particle_filtering(tree, 1000, 5, USUAL)
    share = sum(s.answer == "0" for s in solutions) / 1000
    assert abs(share - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 1000)  # odds 3 against 1


async def test_ratio_weights_and_the_effective_sample_size():
    # r is the least score so far: it goes .9 -> .45 and .3 -> .3, so the ratios are 1/2 and 1
    script = {"": ["a\n", "b\n"], "a\n": ["a1\n"], "b\n": ["b1\n"], "a\na1\n": ["answer 1"], "b\nb1\n": ["answer 2"]}
    scores = {"a\n": 0.9, "a1\n": 0.45, "b\n": 0.3, "b1\n": 0.6, "answer 1": 0.5, "answer 2": 0.5}
    lm = ScriptedLM(script)
    await particle_filtering(grow(lm, ScriptedRM(scores)), 1000, 6, ParticleFiltering("ratio", "systematic", 0.97))
    asked = dict(lm.asked)
    assert (asked["a\n"], asked["b\n"]) == (750, 250)  # effective sample size 1 / (.75^2 + .25^2) / 2 = 0.8
    # then 750 particles of ratio 1/2 and 250 of ratio 1: 375 to 250
    assert abs(asked["a\na1\n"] - 600) <= 1
    lm = ScriptedLM(script)
    await particle_filtering(grow(lm, ScriptedRM(scores)), 1000, 6, ParticleFiltering("ratio", "systematic", 0.1))
    assert set(dict(lm.asked).values()) == {500, 1000}  # never resampled


async def test_the_oracle_leads_to_the_only_right_path():
    solutions = await particle_filtering(grow(ScriptedLM(MAZE), OracleRM(TASK)), 8, 6, USUAL)
    assert max(solutions, key=lambda s: min(s.scores)).answer == PROBLEM.answer


async def test_the_same_run_seed_gives_the_same_particles():
    script = {"": ["a\n", "b\n"], "a\n": ["answer 1"], "b\n": ["answer 2"]}
    scores = {"a\n": 0.8, "b\n": 0.7, "answer 1": 0.5, "answer 2": 0.5}
    runs = []
    for seed in (0, 0, 1):
        tree = grow(ScriptedLM(script), ScriptedRM(scores), seed=seed)
        runs.append([s.answer for s in await particle_filtering(tree, 64, 5, USUAL)])
    assert runs[0] == runs[1] != runs[2]
