"""A PRM against the exact truth: solutions of the arithmetic task, each step judged by the oracle's prefix_ok.

Beside the PRM stand the baselines: the same PRM shown another problem's question, and trees that see a step's index,
length and numbers alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from data.preprocess.common import RIGHT, WRONG, LabelledSolution
from envs.arithmetic import TASK
from envs.arithmetic.expression import ExpressionError, parse
from envs.arithmetic.generator import CHECK_TAG
from envs.base_env import Problem, split_steps
from prm.benchmarks import first_error, steps
from prm.benchmarks.baselines import baselines
from prm.benchmarks.cases import Case, Figures, ScoredCases, Skips, case_of, read
from prm.benchmarks.report import BenchmarkResult
from prm.benchmarks.scoring import opened, score
from reason.common.errors import UserError
from reason.common.rows import BadRow, Row, elements, field, place, text_field
from reason.evaluation import records

SEPARATOR = "\n"  # of files; a run's is its LM card's


async def run(args: argparse.Namespace) -> BenchmarkResult:
    """Score samples and measure. Raises UserError."""
    skips = Skips(args.skip_bad_rows)
    notes: list[str] = []
    if args.run:
        given = from_run(args.run, skips, notes)
    else:
        given = [case for path in args.data_path for case in read(path, reader, skips)]
    cases = choose(given, args.per_problem, args.limit, notes)
    async with opened(args, TASK) as prm:
        own = await score(prm, cases, args.num_worker, skips)
        others = wrong_questions(own.cases)
        unscored = Skips(args.skip_bad_rows)
        wrong = await score(prm, others, args.num_worker, unscored, f"{prm.name}, wrong question") if others else None
    if unscored.messages:
        notes.append(
            f"{len(unscored.messages)} solutions had no score under the wrong question and are not in its rows."
        )
    scored = [own, *([back(wrong, others, own.cases)] if wrong else []), *baselines(own.cases)]
    rows = [row for scorer in scored for row in error_rows(scorer, args.threshold)]
    step_rows = [steps.figures(scorer, {"0.5": 0.5} | args.threshold) for scorer in scored]
    notes += notes_of(scored, step_rows)

    def draw(out: Path) -> list[Path]:
        from prm.benchmarks import plots

        drawn = plots.first_error(scored, rows, out) + plots.reliability(step_rows[:1], out)
        return drawn + plots.against_baselines(step_rows, rows, out)

    return BenchmarkResult("arithmetic", prm, {"first_error": rows, "steps": step_rows}, draw, [own], skips, notes)


def error_rows(scored: ScoredCases, own: dict[str, float]) -> list[Figures]:
    """First-error figures: at each half's best threshold taken to the other half, at 0.5, at the user's own."""
    fitted = first_error.cross_fitted(scored)
    rows = [first_error.figures(scored, fitted, "best on the other half")] if fitted else []
    fixed = {"0.5": 0.5} | own
    return rows + [first_error.figures(scored, [t] * len(scored.cases), name) for name, t in fixed.items()]


def judged(question: str, texts: list[str], identifier: str) -> LabelledSolution:
    """A solution with the oracle's labels; those after the first error are wrong too. Raises BadRow."""
    try:
        parse(question.removeprefix(CHECK_TAG))
    except ExpressionError as error:
        raise BadRow("question", f"is not of the arithmetic task: {error}") from None
    assert TASK.oracle is not None
    verdicts = TASK.oracle(Problem(identifier, question, ""), texts)
    labels = [RIGHT if verdict.prefix_ok else WRONG for verdict in verdicts]
    return LabelledSolution(question, texts, labels, id=identifier)


def reader(row: Row) -> Iterable[LabelledSolution]:
    """A row with `question` and `steps`, or `text`, whose steps are its lines. Raises BadRow."""
    question = text_field(row, "question")
    texts = elements(row, "steps", str) if "steps" in row else split_steps(field(row, "text", str), SEPARATOR)
    if not texts:
        raise BadRow("steps" if "steps" in row else "text", "is empty: there is no step to score")
    return [judged(question, texts, str(row.get("id", "")))]


def from_run(folder: Path, skips: Skips, notes: list[str]) -> list[Case]:
    """The solutions of a run folder of evaluate.py. Raises UserError."""
    config = records.read_config(folder)
    where = folder / records.RECORDS
    try:
        task, separator = config["dataset"]["task"], config["cards"]["LM"]["step_separator"]
    except (KeyError, TypeError):
        raise UserError(f"{folder / records.CONFIG}: is not of evaluate.py") from None
    if task != TASK.name:
        raise UserError(f"{folder}: is a run of task {task}, and only arithmetic has an oracle")
    cases, failed, empty = [], 0, 0
    for line, record in enumerate(records.read_records(folder), 1):
        if record["error"] is not None:
            failed += 1
            continue
        try:
            question, texts = text_field(record, "question"), [o["text"] for o in elements(record, "output", dict)]
            for text in texts:
                pieces = split_steps(text, separator)
                empty += not pieces
                cases += [case_of(judged(question, pieces, str(record["id"])), place(where, line))] if pieces else []
        except (BadRow, KeyError, AttributeError) as error:
            skips.add(place(where, line), error if isinstance(error, BadRow) else "the output is not of evaluate.py")
    if failed:
        notes.append(f"{failed} questions of {folder} failed there and have no solutions.")
    if empty:
        notes.append(f"{empty} solutions without any text have no step to score.")
    if not cases:
        raise UserError(f"{where}: holds no solutions")
    return cases


def choose(cases: list[Case], per_problem: int, limit: int | None, notes: list[str]) -> list[Case]:
    """Distinct solutions, at most `per_problem` of a question, of the first `limit` questions."""
    kept: dict[str, dict[tuple[str, ...], Case]] = {}
    repeated = left_out = 0
    for case in cases:
        if case.question not in kept and limit is not None and len(kept) == limit:
            left_out += 1
            continue
        mine = kept.setdefault(case.question, {})
        if case.steps in mine:
            repeated += 1
        elif len(mine) == per_problem:
            left_out += 1
        else:
            mine[case.steps] = case
    notes.append(
        f"{sum(map(len, kept.values()))} different solutions of {len(kept)} questions; {repeated} repeated ones and "
        f"{left_out} beyond --per_problem {per_problem}{'' if limit is None else f' or --limit {limit}'} are left out."
    )
    return [case for mine in kept.values() for case in mine.values()]


def wrong_questions(cases: list[Case]) -> list[Case]:
    """The same solutions under the next problem's question; none where all are of one problem."""
    questions = list(dict.fromkeys(case.question for case in cases))
    after = dict(zip(questions, questions[1:] + questions[:1], strict=True))
    return [replace(case, question=after[case.question]) for case in cases] if len(questions) > 1 else []


def back(wrong: ScoredCases, others: list[Case], cases: list[Case]) -> ScoredCases:
    """The scores under wrong questions as scores of the cases that were shown them."""
    own = {id(other): case for other, case in zip(others, cases, strict=True)}
    return ScoredCases(wrong.name, [own[id(other)] for other in wrong.cases], wrong.scores)


def notes_of(scored: list[ScoredCases], rows: list[Figures]) -> list[str]:
    """What a reader must know of the tables."""
    notes = [f"{rows[0]['repeated_steps']} steps that several solutions share count once."]
    if all(not scorer.name.startswith("baseline") for scorer in scored):
        notes.append("No trained baselines: a half of the questions has only right or only wrong steps.")
    if rows[0]["reliability"] is None:
        notes.append("No calibration: the scores are not in [0, 1].")
    return notes
