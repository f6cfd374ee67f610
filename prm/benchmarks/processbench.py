"""ProcessBench (Zheng et al., 2024): does a PRM find the first wrong step of a solution, and none in a right one?"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from data.preprocess import processbench
from data.preprocess.common import ReadingOptions
from prm.benchmarks import first_error, steps
from prm.benchmarks.cases import Case, Figures, ScoredCases, Skips, case_of, read
from prm.benchmarks.report import BenchmarkResult
from prm.benchmarks.scoring import opened, score
from reason.common.errors import UserError
from reason.common.rows import BadRow, hub_rows

HUB_ID = "Qwen/ProcessBench"
SUBSETS = ("gsm8k", "math", "olympiadbench", "omnimath")
PUBLISHED = "gsm8k"  # the subset whose best threshold is the published one
SUFFIXES = (".jsonl", ".json")


async def run(args: argparse.Namespace) -> BenchmarkResult:
    """Score the subsets and measure. Raises UserError."""
    skips = Skips(args.skip_bad_rows)
    subsets = load(args, skips)
    async with opened(args) as prm:
        scored = [await score(prm, c[: args.limit], args.num_worker, skips, name) for name, c in subsets.items()]
    rows, notes = measure(scored, args.threshold)
    step_rows = [steps.figures(subset, {"0.5": 0.5} | args.threshold) for subset in scored]
    if args.limit is not None:
        notes.append(f"Only the first {args.limit} solutions of each subset.")

    def draw(out: Path) -> list[Path]:
        from prm.benchmarks import plots

        return plots.first_error(scored, rows, out) + plots.reliability(step_rows, out)

    return BenchmarkResult("processbench", prm, {"first_error": rows, "steps": step_rows}, draw, scored, skips, notes)


def measure(scored: list[ScoredCases], own: dict[str, float]) -> tuple[list[Figures], list[str]]:
    """Rows by threshold: the published one, 0.5, and the user's own; each with the average over several subsets."""
    published = next((first_error.Curve(subset).best() for subset in scored if subset.name == PUBLISHED), None)
    thresholds = {"0.5": 0.5} | own
    notes = []
    if published is None:
        notes.append(f"No published threshold: it is the best of subset {PUBLISHED}, with right and wrong solutions.")
    else:
        thresholds = {f"best on {PUBLISHED}": published} | thresholds
    rows: list[Figures] = []
    for name, threshold in thresholds.items():
        subset_rows = [first_error.figures(subset, [threshold] * len(subset.cases), name) for subset in scored]
        rows += [*subset_rows, first_error.average(subset_rows)] if len(subset_rows) > 1 else subset_rows
    return rows, notes


def load(args: argparse.Namespace, skips: Skips) -> dict[str, list[Case]]:
    """Subset -> its solutions, from --data_path or the hub. Raises UserError."""
    if args.data_path is None:
        return {name: from_hub(name, skips) for name in chosen(args.subsets, SUBSETS, HUB_ID)}
    files: dict[str, Path] = {}
    for path in (file for given in args.data_path for file in files_of(given)):
        if path.stem in files:
            raise UserError(f"{files[path.stem]} and {path} are both subset {path.stem!r}: give one of them")
        files[path.stem] = path
    names = chosen(args.subsets, tuple(files), ", ".join(map(str, args.data_path)))
    return {name: read(files[name], partial(processbench.read, options=ReadingOptions()), skips) for name in names}


def files_of(given: Path) -> list[Path]:
    """A file, or the subsets of a folder, in the usual order. Raises UserError."""
    if not given.is_dir():
        return [given]
    files = [path for name in SUBSETS for path in (given / f"{name}{suffix}" for suffix in SUFFIXES) if path.is_file()]
    if not files:
        raise UserError(f"{given}: holds none of {', '.join(f'{name}.json(l)' for name in SUBSETS)}")
    return files


def chosen(wanted: list[str] | None, known: tuple[str, ...], where: str) -> list[str]:
    """The subsets asked for, all by default. Raises UserError for one that is not there."""
    for name in wanted or ():
        if name not in known:
            raise UserError(f"--subsets: no subset {name!r} in {where}; there are: {', '.join(known)}")
    return list(dict.fromkeys(wanted or known))


def from_hub(name: str, skips: Skips) -> list[Case]:
    """A subset from the hub. Raises UserError with one line when it cannot be had."""
    cases = []
    advice = f"give --data_path a folder with {name}.json or {name}.jsonl"
    for number, row in enumerate(hub_rows(HUB_ID, name, advice), 1):
        where = f"{HUB_ID} {name}, row {number}"
        try:
            cases += [case_of(solution, where) for solution in processbench.read(row, ReadingOptions())]
        except BadRow as error:
            skips.add(where, error)
    if not cases:
        raise UserError(f"{HUB_ID} {name}: holds no rows that can be used")
    return cases
