"""Held-out questions, guards, logs, what the command line refuses."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from envs.base_env import Problem
from reason.common.errors import UserError
from train.mat.arguments import check_arguments, parser
from train.mat.runner.guards import WINDOW, Guards
from train.mat.runner.log import RunLog
from train.mat.runner.questions import apart


def problem(question: str) -> Problem:
    return Problem(question, question, "1")


def test_training_questions_that_are_held_out_are_found_by_what_they_say() -> None:
    train, held_out = [problem("What is $1 + 2$?"), problem("3 + 4")], [problem("what is 1+2")]
    with pytest.raises(UserError, match=r"1 of 2 training questions are held out too, such as What is"):
        apart(train, held_out, drop=False)
    assert apart(train, held_out, drop=True) == train[1:]
    with pytest.raises(UserError, match="no training question is left"):
        apart(train[:1], held_out, drop=True)


def told(rows: list[dict[str, float]]) -> dict[int, list[str]]:
    guards, found = Guards(), {}
    for update, row in enumerate(rows, 1):
        if warnings := guards.check(row):
            found[update] = warnings
    return found


def steady(updates: int, **change) -> list[dict[str, float]]:
    """Metrics that change by so much from the first update to the last."""
    usual = {"accuracy": 0.5, "prm_score": 0.6, "length": 40.0, "steps": 3.0}
    return [{k: v + change.get(k, 0.0) * i / (updates - 1) for k, v in usual.items()} for i in range(updates)]


def test_guards_keep_quiet_where_nothing_is_wrong() -> None:
    assert told(steady(60)) == {}
    assert told(steady(60, accuracy=0.3, prm_score=0.2)) == {}
    assert told(steady(60, accuracy=-0.2, prm_score=-0.1)) == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"length": 60.0}, "solutions went from"),
        ({"steps": -2.0}, "to 1."),
        ({"prm_score": 0.2, "accuracy": -0.2}, "the policy exploits the PRM"),
    ],
)
def test_guards_tell_of_drift_and_hacking_once_in_a_while(change: dict, words: str) -> None:
    found = told(steady(60, **change))
    assert found and all(any(words in warning for warning in warnings) for warnings in found.values() if warnings)
    updates = list(found)
    assert all(b - a >= WINDOW for a, b in pairwise(updates))


def test_a_resumed_log_forgets_what_is_done_again(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 4, 0, {}, None)
    for update in range(4):
        log.write(update, {"reward": float(update), "loss": float("nan")})
    log.close()
    with log.path.open("a", encoding="utf-8") as file:
        file.write('{"update": 4, "rew')  # torn
    log = RunLog(tmp_path, 4, 2, {}, None)
    log.write(3, {"reward": 9.0})
    log.close()
    rows = [json.loads(line) for line in log.path.read_text(encoding="utf-8").splitlines()]
    assert [(row["update"], row["reward"]) for row in rows] == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 9.0)]
    assert rows[0]["loss"] is None


def checked(*words: str, processes: int = 1):
    args = parser().parse_args(["--model_name_or_path", "m", *words])
    check_arguments(args, processes)
    return args


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--group_size 1", "GRPO compares the solutions of a question: --group_size must be at least 2"),
        ("--questions 3 --group_size 5 --num_mini_batch 4", "= 15 solutions do not divide into --num_mini_batch 4"),
        ("--process_weight 1", "give --prm_name_or_path"),
        ("--temperature 0", "above 0"),
        ("--top_p 0", "--top_p"),
        ("--lr 0", "lr must be above 0"),
        ("--kl_coef 0.1 --kl_estimator k1", "no gradient in expectation"),
        ("--kl_in reward --kl_estimator k3", "k1 in the reward"),
        ("--algorithm_name APPO --dr_grpo", "GRPO"),
        ("--algorithm_name APPO --ratio token", "APPO has --ratio step"),
        ("--critic shared", "--critic is of --algorithm_name APPO and TPPO: leave it out with GRPO"),
        ("--gamma 0.9 --algorithm_name RLOO", "--gamma is of --algorithm_name APPO and TPPO"),
        ("--supervision process --ratio sequence", "--ratio must be token or step"),
        ("--algorithm_name TPPO --lora_r 8 --critic own", "use --critic shared"),
        ("--dr_grpo --aggregation token", "--aggregation constant"),
        ("--quantize nf4", "give --lora_r"),
        ("--rollout_engine served", "needs --controller_addr and --rollout_model"),
        ("--rollout_model policy", "is of --rollout_engine served"),
        ("--rollout_gpu_memory 0.5", "is of --rollout_engine vllm"),
        ("--overlap --importance_cap 0", "--importance_cap must be above 0"),
    ],
)
def test_what_does_not_fit_together_is_refused(words: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        checked(*words.split())
    assert message in str(caught.value)


def test_questions_divide_into_the_processes() -> None:
    assert checked("--questions", "6", processes=3).questions == 6
    with pytest.raises(UserError, match="--questions 6 do not divide into 4 processes"):
        checked("--questions", "6", processes=4)


def test_what_follows_is_filled_in() -> None:
    assert checked().process_weight == 0 and checked().kl_estimator == "k3" and checked().critic is None
    assert checked("--prm_name_or_path", "p").process_weight == 1
    assert checked("--algorithm_name", "APPO", "--group_size", "1").critic == "own"
    assert checked("--algorithm_name", "TPPO", "--lora_r", "8").critic == "shared"
    assert checked("--dr_grpo").aggregation == "constant"
