"""OmegaPRM on chains whose first error is planted."""

import random

import pytest

from data.omegaprm.all_steps import all_steps
from data.omegaprm.search import omegaprm
from reason.inference.base import Sample
from tests.data.omegaprm.chains import ChainLM, grow, true_error


async def search(lm, **options):
    tree = grow(lm, **options)
    assert await tree.estimate_root() not in (None, 0.0, 1.0)
    return tree, await omegaprm(tree)


@pytest.mark.parametrize("n", [2, 5, 8, 16])
@pytest.mark.parametrize("reuse", [True, False])
async def test_finds_the_planted_first_error(n, reuse):
    # the least value of a right prefix is (1 - .1)^n >= .18: all of 64 rollouts fail with a chance of 2e-6
    _, paths = await search(ChainLM(n), num_rollouts=64, rollout_budget=10_000, reuse_rollouts=reuse)
    assert len(paths) > 3
    for path in paths:
        assert path.first_error == true_error(path.rollout.steps)


async def test_estimates_about_log_n_points_a_path():
    tree, _ = await search(
        ChainLM(16), num_rollouts=32, max_search_count=1, rollout_budget=10_000, reuse_rollouts=False
    )
    assert len(tree.points) - 1 == 4  # log2(16): the root is right and the whole solution wrong already
    assert tree.spent == 32 * 5


async def test_a_point_that_a_right_rollout_passes_costs_nothing():
    spent = []
    for reuse in (True, False):
        tree, paths = await search(ChainLM(16), max_search_count=1, rollout_budget=10_000, reuse_rollouts=reuse)
        assert paths[0].first_error == true_error(paths[0].rollout.steps)
        spent.append(tree.spent)
    assert spent[0] < spent[1]


async def test_each_rollout_of_the_pool_is_taken_once():
    tree, paths = await search(ChainLM(8, 0.2), max_search_count=1000, rollout_budget=5000)
    taken = [path.rollout for path in paths]
    assert len(set(taken)) == len(taken) and not tree.pool  # all of it was searched
    texts = [rollout.steps for rollout in taken]
    assert len(set(texts)) == len(texts)
    assert all(not rollout.right for rollout in taken)
    wrong = {r.steps for s in tree.points.values() if 0 < s.c < s.k for r in s.rollouts if not r.right}
    assert wrong == set(texts)


async def test_visits_are_counted_at_selection_and_sum_to_the_searches():
    tree, paths = await search(ChainLM(8, 0.2), max_search_count=12, rollout_budget=5000)
    assert len(paths) == 12
    assert sum(state.N for state in tree.points.values()) == 12
    for state in tree.points.values():
        assert state.N == sum(path.rollout.steps[: path.rollout.start] == state.steps and
                              path.rollout in state.rollouts for path in paths)  # fmt: skip


@pytest.mark.parametrize("budget", [16, 17, 31, 32, 100, 200])
@pytest.mark.parametrize("paths_in_flight", [1, 4])
async def test_the_budget_is_a_hard_cap_and_all_of_it_is_in_the_ledger(budget, paths_in_flight):
    lm = ChainLM(16, 0.2)
    tree, paths = await search(lm, rollout_budget=budget, paths_in_flight=paths_in_flight)
    assert tree.spent == sum(n for _, n in lm.asked) <= budget
    assert tree.spent % 16 == 0 and tree.spent > budget - 16  # a point gets all its rollouts or none
    assert tree.ledger.lm_calls == len(lm.asked)
    assert all(path.wrong > path.right for path in paths)


async def test_one_request_a_point_and_prefixes_are_never_asked_for_twice():
    lm = ChainLM(8, 0.2)
    await search(lm, rollout_budget=2000)
    assert all(n == 16 for _, n in lm.asked)
    assert len({prefix for prefix, _ in lm.asked}) == len(lm.asked)


async def test_paths_in_flight_are_asked_for_together_and_find_the_same_errors():
    _, paths = await search(ChainLM(16), num_rollouts=64, rollout_budget=10_000, paths_in_flight=4)
    assert len(paths) == 20
    assert all(path.first_error == true_error(path.rollout.steps) for path in paths)


async def test_early_stop_spends_less_and_still_finds_the_error():
    _, paths = await search(ChainLM(8), num_rollouts=32, rollout_budget=20_000, early_stop=True)
    assert [path.first_error for path in paths] == [true_error(path.rollout.steps) for path in paths]
    tree = grow(ChainLM(8), num_rollouts=32, rollout_budget=20_000, early_stop=True, reuse_rollouts=False)
    await tree.estimate_root()
    await omegaprm(tree)
    for state in tree.points.values():
        if state is not tree.root:
            assert state.k <= 16 and (state.c == 0) == (state.k == 16)  # .8^16 < .05, or one right rollout


async def test_waves_draw_the_same_rollouts_as_one_request():
    whole, waves = grow(ChainLM(), num_rollouts=16), grow(ChainLM(), num_rollouts=16)
    await whole._draw(whole.root, 16)
    for n in (4, 4, 8):
        await waves._draw(waves.root, n)
    assert [r.steps for r in whole.root.rollouts] == [r.steps for r in waves.root.rollouts]


async def test_cut_and_empty_rollouts_stay_out_of_the_pool():
    class Mixed(ChainLM):
        async def generate(self, prompt, sampling, seeds, ledger):
            texts = [("1\nanswer right", "stop"), ("1\n2\n", "length"), ("", "stop"), ("1\nanswer wrong", "stop")]
            return [Sample(*(texts[i % 4][0], 1, texts[i % 4][1])) for i, _ in enumerate(seeds)]

    tree = grow(Mixed())
    assert await tree.estimate_root() == 0.25
    assert [rollout.steps for _, rollout in tree.pool] == [("1\n", "answer wrong")]
    assert tree.cut == 4


async def test_what_the_grader_cannot_decide_on_is_neither_right_nor_wrong():
    class Undecided:
        async def equal(self, gold, answer):
            from envs.base_env import Verdict

            return Verdict(None if answer == "wrong" else True)

    tree = grow(ChainLM(4, 0.4))
    tree.grader = Undecided()
    assert await tree.estimate_root() == 1.0
    assert tree.undecided == 16 - tree.root.k > 0


async def test_all_steps_labels_every_step_with_k_rollouts_each():
    tree = grow(ChainLM(6, 0.2), num_rollouts=8, rollout_budget=1000, num_solutions=4, method="all_steps")
    await tree.estimate_root()
    paths = await all_steps(tree)
    assert len(paths) == 4
    prefixes = {path.rollout.steps[:n] for path in paths for n in range(1, 6)}
    assert set(tree.points) == prefixes | {()}
    assert all(state.k == 8 for state in tree.points.values())
    assert tree.spent == 8 * (1 + len(prefixes))


async def test_all_steps_stops_at_the_budget():
    tree = grow(ChainLM(6, 0.2), num_rollouts=8, rollout_budget=30, num_solutions=4, method="all_steps")
    await tree.estimate_root()
    await all_steps(tree)
    assert tree.spent == 24


async def test_the_same_seed_gives_the_same_tree_whatever_the_timing():
    def shape(tree):
        return {steps: (s.c, s.k, s.N) for steps, s in tree.points.items()}

    class Late(ChainLM):
        async def generate(self, *args):
            self.delay = random.random() / 50
            return await super().generate(*args)

    first, _ = await search(ChainLM(8, 0.2), paths_in_flight=4)
    second, _ = await search(Late(8, 0.2), paths_in_flight=4)
    other, _ = await search(ChainLM(8, 0.2), paths_in_flight=4, seed=1)
    assert shape(first) == shape(second) != shape(other)
