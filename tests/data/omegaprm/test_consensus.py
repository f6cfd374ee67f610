"""Consensus filtering with a reward model, an oracle and an LM as judge."""

import json

import pytest

from data.omegaprm import consensus
from data.omegaprm.consensus import NO_ERROR, LMJudge, PRMJudge, filter_file, filter_record, read_reply
from data.omegaprm.labeller import LabelSetup, label_problem
from data.omegaprm.options import LabelOptions
from data.omegaprm.output import line, solutions
from envs.base_env import Problem
from reason.inference.base import ModelError, Sample
from reason.inference.ledger import Ledger
from reason.model_cards.card import LMCard, PRMCard
from tests.data.omegaprm.chains import ChainLM
from tests.reason.guided_search.scripted import TASK, TextGrader

PROBLEM = Problem("p", "q", "right")


class Knowing:
    """Scores 0.9 until "bad", then 0.1; `fooled_by`: a word at which it errs."""

    card = PRMCard(name="knowing", head="scripted", step_tag="")

    def __init__(self, fooled_by="nothing"):
        self.fooled_by = fooled_by

    async def score(self, problem, solutions, ledger):
        def one(steps):
            bad = next((i for i, step in enumerate(steps) if "bad" in step or self.fooled_by in step), len(steps))
            return [0.9 if i < bad else 0.1 for i in range(len(steps))]

        return [one(steps) for steps in solutions]


async def record(**options):
    lm = ChainLM(8, 0.2)
    made = await label_problem(
        LabelSetup(TASK, lm, "chain", TextGrader(), LabelOptions(rollout_budget=1000, num_rollouts=32, **options)),
        0,
        PROBLEM,
    )
    return line(made, as_tree=True)


def texts(tree_line):
    return {"\n".join(node["text"] for node in way) for way in solutions(tree_line)}


async def test_a_judge_that_knows_the_truth_keeps_all():
    made = await record()
    before = texts(made)
    kept = await filter_record(made, PRMJudge(Knowing()))
    assert texts(kept) == before
    assert kept["consensus"] == {"judge": "knowing < 0.5", "kept": len(before), "dropped": 0, "unreadable": 0}


async def test_what_the_judge_disputes_is_dropped_and_nothing_else():
    made = await record()
    before = texts(made)
    kept = await filter_record(made, PRMJudge(Knowing("3")))  # calls every right step 3 wrong
    assert texts(kept) == {text for text in before if "bad" in "".join(text.splitlines()[:3])}
    assert kept["consensus"]["kept"] + kept["consensus"]["dropped"] == len(before)
    public = {"question", "final_answer", "question_id", "reasoning_steps"}
    assert public < set(kept) and kept["reasoning_steps"]["text"] == "q"


async def test_steps_without_a_label_of_their_own_belong_to_the_next_label():
    tree = {"text": "q", "mc_value": 0.5, "label": 1, "children": [
        {"text": "1\n2 bad", "mc_value": 0.0, "label": 0, "children": [
            {"text": "3", "mc_value": 0.0, "label": 0, "children": []}]}]}  # fmt: skip
    made = {"question_id": "p", "question": "q", "final_answer": "a", "separator": "\n", "reasoning_steps": tree}
    assert (await filter_record(made, PRMJudge(Knowing())))["consensus"]["kept"] == 1


class Critic:
    """An LM judge that answers with `reply`, in which {i} is the first bad step."""

    card = LMCard(name="critic", prompt="{question}\n")

    def __init__(self, reply):
        self.reply, self.prompts = reply, []

    async def generate(self, prompt, sampling, seeds, ledger):
        self.prompts.append(prompt)
        lines = [x for x in prompt.splitlines() if x.startswith("[")]
        bad = next((i for i, x in enumerate(lines) if "bad" in x), NO_ERROR)
        return [Sample(self.reply.replace("{i}", str(bad)), 1, "stop")]


async def test_an_lm_as_judge():
    critic = Critic("Step by step... so it is \\boxed{{i}}.")
    made = await record()
    before = texts(made)
    kept = await filter_record(made, LMJudge(critic))
    assert texts(kept) == before and kept["consensus"]["judge"] == "critic"
    assert "[0] 1" in critic.prompts[0] and "\\boxed{-1}" in critic.prompts[0]
    lost = await filter_record(await record(), LMJudge(Critic("I cannot say")))
    assert lost["consensus"]["unreadable"] == len(before) and not lost["reasoning_steps"]["children"]


@pytest.mark.parametrize(
    "text, expected",
    [("\\boxed{2}", 2), ("\\boxed{-1}", NO_ERROR), ("\\boxed{0} no, \\boxed{ 3 }", 3), ("\\boxed{9}", None),
     ("2", None), ("\\boxed{-2}", None), ("\\boxed{two}", None), ("", None)],
)  # fmt: skip
def test_a_reply_is_read_by_its_last_box(text, expected):
    assert read_reply(text, 5) == expected


async def test_a_file_keeps_its_order_and_failing_questions_are_counted(tmp_path, capsys):
    class Sometimes(Knowing):
        async def score(self, problem, solutions, ledger: Ledger):
            if problem.id == "p2":
                raise ModelError("told to fail")
            return await super().score(problem, solutions, ledger)

    made = await record()
    lines = [json.dumps(made | {"question_id": f"p{i}"}) + "\n" for i in range(5)]
    (tmp_path / "in.jsonl").write_text("".join(lines))
    totals = await filter_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", PRMJudge(Sometimes()), 2)
    out = [json.loads(x)["question_id"] for x in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert out == ["p0", "p1", "p3", "p4"]
    assert totals["failed"] == 1 and totals["questions"] == 4
    assert "told to fail" in capsys.readouterr().err


def test_bad_input_is_one_line(tmp_path, capsys):
    (tmp_path / "in.jsonl").write_text('{"question": "q"}\n')
    words = [str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl")]
    assert consensus.main(words) == 2
    assert capsys.readouterr().err == "consensus.py: give one judge: --RM NAME or --LM NAME\n"
    assert consensus.main([*words, "--RM", "oracle", "--task_name", "arithmetic"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "in.jsonl, line 1" in said and "question_id" in said
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
