"""What is said of each prefix, in the tree, in the labels and in the output's two forms."""

import json

import pytest

from data.omegaprm.all_steps import all_steps
from data.omegaprm.confidence import at_least, decided
from data.omegaprm.labels import ESTIMATED, GRADED, INFERRED, Evidence, collect, counts
from data.omegaprm.options import LabelOptions
from data.omegaprm.output import flatten, line, nest, solutions
from data.omegaprm.search import omegaprm
from tests.data.omegaprm.chains import ChainLM, grow, true_error

MARKS = {"policy": "chain", "temperature": 0.7}


async def labelled(lm, keep=True, **options):
    tree = grow(lm, **options)
    await tree.estimate_root()
    paths = await (all_steps if options.get("method") == "all_steps" else omegaprm)(tree)
    return tree, paths, collect(tree, paths, keep)


async def test_every_label_of_a_searched_path_is_true_and_says_how_it_is_known():
    tree, paths, labels = await labelled(ChainLM(16), num_rollouts=64, rollout_budget=5000)
    assert len(paths) > 5
    for path in paths:
        steps, error = path.rollout.steps, true_error(path.rollout.steps)
        for n in range(1, 17):
            label = labels[steps[:n]]
            assert label.right == (n <= error)
            if steps[:n] in tree.points:
                state = tree.points[steps[:n]]
                assert (label.kind, label.c, label.k, label.mc_value) == (ESTIMATED, state.c, state.k, state.MC)
            else:
                assert label.kind == (GRADED if n == 16 else INFERRED)
                assert (label.mc_value > 0) == label.right
                assert label.mc_value == (label.c / label.k if label.k else float(label.right))


async def test_right_rollouts_are_labelled_apart_and_can_be_left_out():
    _, paths, labels = await labelled(ChainLM(8), rollout_budget=2000)
    _, _, without = await labelled(ChainLM(8), keep=False, rollout_budget=2000)
    right = ("1\n", "2\n", "3\n", "4\n", "5\n", "6\n", "7\n", "answer right")
    assert labels[right].kind == GRADED and labels[right].right and labels[right].source == "rollout"
    assert right not in without
    assert set(without) < set(labels)
    assert counts(without)["rollout"] == 0 < counts(labels)["rollout"]
    searched = {path.rollout.steps[:n] for path in paths for n in range(1, 9)}
    assert sum(counts(without).values()) == len(searched)


async def test_a_path_that_the_budget_cut_short_has_no_labels_in_its_gap():
    tree, paths, labels = await labelled(ChainLM(16, 0.2), keep=False, rollout_budget=32, reuse_rollouts=False)
    path = paths[-1]
    assert path.first_error is None
    gap = [path.rollout.steps[:n] for n in range(path.right + 1, path.wrong)]
    unlabelled = [prefix for prefix in gap if prefix not in labels]
    assert unlabelled == [prefix for prefix in gap if prefix not in Evidence(tree).right] != []


async def test_with_the_half_label_nothing_is_inferred_to_be_right():
    _, _, labels = await labelled(ChainLM(8), hard_label="half", reuse_rollouts=False, rollout_budget=400)
    for label in labels.values():
        if label.kind == ESTIMATED:
            assert label.right == (label.c / label.k > 0.5)
        elif label.kind == INFERRED:
            assert not label.right


async def test_a_point_called_wrong_through_which_a_right_rollout_passes_counts_it():
    tree = grow(ChainLM(4, 0.1), reuse_rollouts=True)
    await tree.estimate_root()
    await tree.estimate({("1\n",): next(r for r in tree.root.rollouts if r.right)})
    state = tree.points[("1\n",)]
    state.c = 0
    assert tree.known(("1\n",)) is True
    label = collect(tree, [])[("1\n",)]
    assert (label.right, label.c, label.k) == (True, 1, 17)


async def test_all_steps_estimates_each_step_and_grades_the_last():
    _, paths, labels = await labelled(ChainLM(5, 0.3), keep=False, method="all_steps", rollout_budget=1000)
    assert {label.kind for label in labels.values()} == {ESTIMATED, GRADED}
    for path in paths:
        assert [labels[path.rollout.steps[:n]].kind for n in range(1, 6)] == [ESTIMATED] * 4 + [GRADED]
        if not path.rollout.right:
            assert path.first_error == true_error(path.rollout.steps)
        else:
            assert path.first_error is None and path.wrong is None


async def test_tree_and_flat_have_the_public_fields_and_say_the_same():
    tree, _, labels = await labelled(ChainLM(6, 0.2))
    nested = nest("q", labels, "\n", MARKS)
    assert nested["text"] == "q" and nested["mc_value"] == tree.root.MC
    steps_of = {tuple(step.strip() for step in prefix): label for prefix, label in labels.items()}
    seen, waiting = 0, [(nested, ())]
    while waiting:
        node, above = waiting.pop()
        assert list(node)[:3] == ["text", "mc_value", "children"]
        assert {"label", "kind", "c", "k", "source", "policy", "temperature"} <= set(node)
        assert above in steps_of and steps_of[above].mc_value == node["mc_value"]
        waiting += [(child, (*above, *child["text"].split("\n"))) for child in node["children"]]
        seen += 1
    assert seen == len(labels)
    flat = flatten(nested, "\n")
    assert flat[0]["solution_prefix"] == "q" and len(flat) == seen
    texts = {"".join(prefix).rstrip("\n"): label for prefix, label in labels.items() if prefix}
    for item in flat[1:]:
        assert list(item)[:2] == ["solution_prefix", "mc_value"]
        assert texts[item["solution_prefix"].removeprefix("q\n\n")].mc_value == item["mc_value"]
    record = {"question": "q", "final_answer": "right", "question_id": "p", "reasoning_steps": nested,
              "separator": "\n", "searched": [], "counts": {}, "ledger": {}}  # fmt: skip
    for as_tree, steps in ((True, nested), (False, flat)):
        out = line(record, as_tree)
        assert list(out)[:4] == ["question", "final_answer", "question_id", "reasoning_steps"]
        assert json.loads(json.dumps(out))["reasoning_steps"] == steps


async def test_a_degenerate_solution_of_thousands_of_steps_is_counted_and_not_labelled():
    class Babbling(ChainLM):
        def write(self, so_far, rng):
            return "x\n" * 5000 + "answer right" if rng.random() < 0.5 else super().write(so_far, rng)

    tree, _, labels = await labelled(Babbling(6, 0.3))
    assert tree.cut > 0 and tree.root.c > 0
    assert max(map(len, labels)) == 6
    json.dumps(nest("q", labels, "\n", MARKS))


async def test_steps_without_a_label_are_part_of_the_next_labelled_one():
    _, paths, labels = await labelled(ChainLM(16, 0.2), keep=False, rollout_budget=32, reuse_rollouts=False)
    path = paths[-1]
    nested = nest("q", labels, "\n", MARKS)
    ways = ["\n".join(node["text"] for node in way) for way in solutions({"reasoning_steps": nested})]
    assert "".join(path.rollout.steps) in ways


@pytest.mark.parametrize(
    "c, n, rule, expected",
    [(1, 4, "any", True), (0, 12, "any", False), (0, 14, "any", True), (0, 4, "half", False), (16, 16, "half", True),
     (9, 10, "half", True), (8, 14, "half", False), (4, 8, "half", False), (1, 12, "half", True), (8, 8, "half", True)],
)  # fmt: skip
def test_when_a_point_is_decided(c, n, rule, expected):
    assert decided(c, n, 16, LabelOptions(hard_label=rule)) is expected


def test_binomial_tail():
    assert at_least(0, 5, 0.3) == pytest.approx(1)
    assert at_least(5, 5, 0.5) == 1 / 32
    assert at_least(2, 3, 0.5) == 0.5
