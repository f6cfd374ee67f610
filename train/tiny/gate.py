"""What the embedded policy can and cannot do: `python -m train.tiny.gate --policy FOLDER --out FILE.json`.

On questions of the test split: greedy accuracy, majority of n, oracle-selected best of n, coverage, and whether
errors heal or luck pays. With `--prm` also the PRM-weighted vote, the AUC of its step scores against the
oracle's prefix_ok on steps up to and including the first error, and the baselines that it has to beat.
Run it before anything is built on the models; the model page quotes it.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from envs.arithmetic import TASK
from envs.base_env import DataOptions, Problem, split_steps
from prm.benchmarks.arithmetic import choose, wrong_questions
from prm.benchmarks.arithmetic import judged as labelled
from prm.benchmarks.baselines import baselines
from prm.benchmarks.cases import Case, ScoredCases, case_of
from prm.benchmarks.steps import figures
from reason.common.command import Parser, run_command
from reason.common.files import read_json, write_json
from reason.common.seeds import draw_seed
from reason.inference.base import LanguageModel
from reason.model_cards import card as cards
from reason.reranking import cluster, vote, weighted_vote
from train.tiny.sampling import continuations, open_policy


def mean(values: list[bool] | list[float]) -> float:
    """Mean in percent, rounded to a hundredth."""
    return round(100 * float(np.mean(values)), 2) if len(values) else float("nan")


def judged(problem: Problem, text: str) -> tuple[list[str], list[bool]]:
    """Steps of a solution and the oracle's prefix_ok of each."""
    steps = split_steps(text, "\n")
    assert TASK.oracle is not None
    return steps, [verdict.prefix_ok for verdict in TASK.oracle(problem, steps)]


async def policy_figures(
    problems: list[Problem], lm: LanguageModel, n: int, seed: int
) -> tuple[dict[str, Any], list[list[str]]]:
    """Accuracies in percent, and the n sampled texts of each problem."""
    prompts = [problem.question + "\n" for problem in problems]
    greedy = await continuations(lm, prompts, [0] * len(prompts), temperature=0.0)
    flat = await continuations(
        lm,
        [prompt for prompt in prompts for _ in range(n)],
        [draw_seed(seed, problem.id, (), 0, i) for problem in problems for i in range(n)],
    )
    samples = [flat[i * n : (i + 1) * n] for i in range(len(problems))]
    majority, oracle, coverage, single, lucky, healed = [], [], [], [], [], []
    heal_prompts: list[tuple[int, str]] = []
    for index, (problem, texts) in enumerate(zip(problems, samples, strict=True)):
        answers = [TASK.extract(text) for text in texts]
        right = [answer == problem.answer for answer in answers]
        sound = [all(judged(problem, text)[1]) for text in texts]
        clusters = await cluster(answers, TASK.grader())
        chosen = vote("majority_vote", clusters, None)
        majority.append(chosen is not None and right[chosen])
        oracle.append(any(r and s for r, s in zip(right, sound, strict=True)))
        coverage.append(any(right))
        single += right
        lucky += [r and not s for r, s in zip(right, sound, strict=True)]
        for text in texts:
            steps, ok = judged(problem, text)
            if steps and not ok[0]:
                heal_prompts.append((index, steps[0]))
                break
    heal_prompts = heal_prompts[:400]
    again = await continuations(
        lm,
        [prompts[i] + step for i, step in heal_prompts for _ in range(8)],
        [draw_seed(seed, problems[i].id + step, (), 1, k) for i, step in heal_prompts for k in range(8)],
    )
    for j, (i, _) in enumerate(heal_prompts):
        healed.append(any(TASK.extract(text) == problems[i].answer for text in again[8 * j : 8 * j + 8]))
    measured = {
        "problems": len(problems),
        "n": n,
        "greedy": mean([TASK.extract(t) == p.answer for t, p in zip(greedy, problems, strict=True)]),
        "one_sample": mean(single),
        f"majority_{n}": mean(majority),
        f"oracle_selected_{n}": mean(oracle),
        f"coverage_{n}": mean(coverage),
        "right_answer_by_wrong_steps": mean(lucky),
        "wrong_first_steps": len(heal_prompts),
        "wrong_first_step_with_mc_above_0": mean(healed),
        "mean_steps": round(float(np.mean([len(split_steps(t, "\n")) for t in flat])), 2),
    }
    return measured, samples


def cases_of(problems: list[Problem], samples: list[list[str]], per_problem: int = 4) -> list[Case]:
    """At most `per_problem` different solutions of each problem, with the oracle's labels."""
    cases = [
        case_of(labelled(problem.question, split_steps(text, "\n"), problem.id), problem.id)
        for problem, texts in zip(problems, samples, strict=True)
        for text in texts
        if text
    ]
    return choose(cases, per_problem, None, [])


def auc(name: str, cases: list[Case], scores: list[list[float]]) -> float | None:
    """Of the different steps up to and including the first error, see `prm.benchmarks.steps`."""
    return figures(ScoredCases(name, cases, scores), {})["auc"]


async def prm_figures(folder: Path, problems: list[Problem], samples: list[list[str]]) -> dict[str, Any]:
    """Step AUC, the same with another problem's question, and accuracies of PRM votes in percent."""
    from prm.scoring.scorer import Scorer

    card = cards.find("openr-tiny-prm", "prm")
    assert isinstance(card, cards.PRMCard)
    scorer = Scorer.load(str(folder), card)
    cases = cases_of(problems, samples)
    measured: dict[str, Any] = {
        f"auc_{name}": auc(name, cases, scorer.score([(case.question, case.steps) for case in shown]))
        for name, shown in (("prefix_ok", cases), ("wrong_question", wrong_questions(cases)))
    }
    right: dict[str, list[bool]] = {name: [] for name in ("min_vote", "last_vote", "prod_vote", "min_max", "last_max")}
    flat = [(problem.question, split_steps(text, "\n")) for problem, texts in zip(problems, samples, strict=True)
            for text in texts]  # fmt: skip
    scores = iter(scorer.score(flat))
    for problem, texts in zip(problems, samples, strict=True):
        answers = [TASK.extract(text) for text in texts]
        clusters = await cluster(answers, TASK.grader())
        of_steps = [next(scores) or [0.0] for _ in texts]
        chosen = {
            "min_vote": weighted_vote(clusters, [min(s) for s in of_steps]),
            "last_vote": weighted_vote(clusters, [s[-1] for s in of_steps]),
            "prod_vote": weighted_vote(clusters, [float(np.prod(s)) for s in of_steps]),
            "min_max": vote("prm_min_max", clusters, of_steps),
            "last_max": vote("prm_last_max", clusters, of_steps),
        }
        for name, index in chosen.items():
            right[name].append(index is not None and answers[index] == problem.answer)
    return measured | {name: mean(values) for name, values in right.items()}


async def run(args: argparse.Namespace) -> None:
    """The command behind its arguments. Raises UserError."""
    problems = TASK.problems(DataOptions(split=args.split, limit=args.problems, level=args.level, seed=args.seed))
    if args.samples and args.samples.is_file():
        saved = read_json(args.samples)
        measured, samples = saved["policy"], saved["samples"]
    else:
        async with open_policy(args.policy) as lm:
            measured, samples = await policy_figures(problems, lm, args.n, args.seed)
        if args.samples:
            args.samples.write_text(json.dumps({"policy": measured, "samples": samples}), encoding="utf-8")
    print(json.dumps(measured, indent=2), flush=True)
    trees = baselines(cases_of(problems, samples))
    aucs = {tree.name: auc(tree.name, tree.cases, tree.scores) for tree in trees}
    print(json.dumps(aucs, indent=2), flush=True)
    prms: dict[str, Any] = {}
    for folder in args.prm:
        prms[folder.name] = await prm_figures(folder, problems, samples)
        print(folder.name, json.dumps(prms[folder.name], indent=2), flush=True)
    write_json(args.out, {"policy": measured, "baselines": aucs, "prms": prms})


def main() -> int:
    """The command; returns its exit status."""
    p = Parser(prog="gate.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a = p.add_argument
    a("--policy", type=Path, required=True)
    a("--prm", type=Path, action="append", default=[], help="PRM folders to judge")
    a("--out", type=Path, required=True)
    a("--problems", type=int, default=2000)
    a("--n", type=int, default=16)
    a("--level", default="8")
    a("--split", default="test")
    a("--seed", type=int, default=0)
    a("--samples", type=Path, help="keep the samples here, and reuse them when they are there")
    return run_command(p.prog, partial(run, p.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
