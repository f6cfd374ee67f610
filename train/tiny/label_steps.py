"""Monte Carlo step labels for `openr-tiny-prm`: `python -m train.tiny.label_steps --policy FOLDER --out FILE.jsonl`.

For each question of the train split, solutions are sampled at temperature 1 from the policy and from earlier
checkpoints of it, and put in a tree of prefixes. A prefix through which a right solution passes is right
(hard estimation, c > 0; Wang et al., 2024). Along `--paths` of the others the first prefix without one is given
rollouts of the final policy until it has `k`: a right rollout makes it right and the search goes on one step
later, none makes it the first error, and what follows is not labelled. The oracle is never asked.

Rows, one for each different solution: question, steps, labels (1 right, 0 wrong; of as many steps as are decided),
c, k, the oracle's `prefix_ok` for the ceiling and for evaluation. Questions that no rollout solved are dropped: of
those, a failure to solve says nothing of a single step.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import defaultdict
from functools import partial
from itertools import islice
from pathlib import Path

from envs.arithmetic import TASK, generator
from envs.arithmetic.expression import evaluate, to_text
from envs.base_env import Problem, split_steps
from reason.common.command import Parser, run_command
from reason.common.seeds import draw_seed
from reason.inference.base import LanguageModel
from train.tiny.sampling import continuations, open_policy

Prefix = tuple[str, ...]


class QuestionRollouts:
    """A question with every rollout seen, counted at each prefix that it passes."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.rollouts: dict[Prefix, int] = defaultdict(int)
        self.right: dict[Prefix, int] = defaultdict(int)
        self.solutions: list[Prefix] = []  # that differ
        self.paths: list[Prefix] = []  # those to be labelled whole

    def add(self, text: str, keep: bool, count_from: int = 0) -> None:
        """Count a finished solution at all prefixes of at least `count_from` steps; `keep` it for labelling."""
        steps = tuple(split_steps(text, "\n"))
        ok = TASK.extract(text) == self.problem.answer
        for n in range(count_from, len(steps) + 1):
            self.rollouts[steps[:n]] += 1
            self.right[steps[:n]] += ok
        if keep and steps not in self.solutions:
            self.solutions.append(steps)

    def open_point(self, path: Prefix, k: int) -> Prefix | None:
        """The prefix of `path` that needs rollouts next, or None when its labels are decided."""
        for n in range(1, len(path) + 1):
            prefix = path[:n]
            if not self.right[prefix]:
                done = n == len(path) or self.rollouts[prefix] >= k
                return None if done else prefix
        return None

    def row(self, path: Prefix, k: int) -> dict[str, object]:
        """The training row of a solution: labels up to and including the first error, as far as they are decided."""
        labels: list[int] = []
        undecided = self.open_point(path, k)
        for n in range(1, len(path) + 1):
            if path[:n] == undecided:
                break
            labels.append(int(self.right[path[:n]] > 0))
            if not labels[-1]:
                break
        points = [path[: n + 1] for n in range(len(labels))]
        assert TASK.oracle is not None
        return {
            "id": self.problem.id,
            "level": self.problem.level,
            "question": self.problem.question,
            "steps": list(path),
            "labels": labels,
            "c": [self.right[p] for p in points],
            "k": [self.rollouts[p] for p in points],
            "prefix_ok": [int(v.prefix_ok) for v in TASK.oracle(self.problem, path)],
        }


def questions(count: int, seed: int, split: str) -> list[QuestionRollouts]:
    """Mostly of the default level, one in six shorter."""
    shares = {"8": count - count // 6, "5": count // 6}
    drawn = []
    for level, n in shares.items():
        for i, expr in enumerate(islice(generator.generate(level, split, seed), n)):
            name = f"arithmetic/{level}/{split}/{seed}/{i}"
            drawn.append(QuestionRollouts(Problem(name, to_text(expr), str(evaluate(expr)), level)))
    return drawn


async def roll_out(lm: LanguageModel, points: set[tuple[QuestionRollouts, Prefix]], k: int, seed: int) -> int:
    """Give each point the rollouts that it lacks of k; returns how many that were."""
    jobs = [
        (q, point, i)
        for q, point in sorted(points, key=lambda item: (item[0].problem.id, item[1]))
        for i in range(k - q.rollouts[point])
    ]
    prompts = [q.problem.question + "\n" + "".join(point) for q, point, _ in jobs]
    seeds = [draw_seed(seed, q.problem.id + "".join(point), (), 1, i) for q, point, i in jobs]
    for (q, point, _), text in zip(jobs, await continuations(lm, prompts, seeds), strict=True):
        q.add("".join(point) + text, keep=False, count_from=len(point))
    return len(jobs)


async def label(args: argparse.Namespace) -> None:
    """Sample, search for first errors, and write the rows. Raises UserError."""
    started = time.monotonic()
    everything = questions(args.questions, args.seed, args.split)
    sources = [(folder, args.samples // 4) for folder in args.checkpoint]
    sources.append((args.policy, args.samples - sum(n for _, n in sources)))
    rng = random.Random(args.seed)
    spent = 0
    for folder, n in sources:
        prompts = [q.problem.question + "\n" for q in everything for _ in range(n)]
        seeds = [draw_seed(args.seed, q.problem.id + folder.name, (), 0, i) for q in everything for i in range(n)]
        async with open_policy(folder) as lm:
            for index, text in enumerate(await continuations(lm, prompts, seeds)):
                everything[index // n].add(text, keep=True)
        spent += len(prompts)
        print(f"{folder.name}: {len(prompts)} solutions, {time.monotonic() - started:.0f} s", flush=True)
    for q in everything:
        wrong = [path for path in q.solutions if not q.right[path]]
        q.paths = rng.sample(wrong, min(len(wrong), args.paths))
    everything = [q for q in everything if q.right[()]]
    async with open_policy(args.policy) as lm:
        for number in range(40):
            points = {(q, point) for q in everything for path in q.paths if (point := q.open_point(path, args.k))}
            if not points:
                break
            spent += await roll_out(lm, points, args.k, args.seed)
            seconds = time.monotonic() - started
            print(f"round {number}: {len(points)} points, {spent} rollouts, {seconds:.0f} s", flush=True)
    rows = [q.row(path, args.k) for q in everything for path in q.solutions]
    with args.out.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    print(f"{len(rows)} solutions of {len(everything)} questions, {spent} rollouts")


def main() -> int:
    """The command; returns its exit status."""
    p = Parser(prog="label_steps.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a = p.add_argument
    a("--policy", type=Path, required=True)
    a("--checkpoint", type=Path, action="append", default=[], help="an earlier state of the policy")
    a("--out", type=Path, required=True)
    a("--questions", type=int, default=3000)
    a("--samples", type=int, default=16, help="solutions a question, a quarter from each checkpoint")
    a("--paths", type=int, default=4, help="wrong solutions a question that are labelled whole")
    a("--k", type=int, default=8, help="rollouts before a prefix is called wrong")
    a("--split", default="train")
    a("--seed", type=int, default=0)
    return run_command(p.prog, partial(label, p.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
