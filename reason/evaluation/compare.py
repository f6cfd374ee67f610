"""Compare runs: `python -m reason.evaluation.compare RUN_DIR... [--against RUN_DIR:vote]` prints one table.

Accuracies carry 95 % bootstrap intervals over questions. A difference is taken on the questions that both sides
answered, question by question (paired bootstrap, and McNemar's exact p where outcomes are 0 and 1).
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from reason.common.command import Parser, run_command
from reason.common.errors import UserError
from reason.evaluation import stats
from reason.evaluation.closing import TOKENS
from reason.evaluation.runs import Run, gaps, pool, read
from reason.evaluation.shards import merge
from reason.guided_search import METHODS

ComparedRow = dict[str, Any]
COLUMNS = (  # title and key; a key that no row has is left out
    ("method", "method"), ("scorer", "scorer"), ("settings", "settings"), ("n", "questions"), ("accuracy", "headline"),
    ("majority", "majority_vote"), ("coverage", "coverage"), ("LM tok/q", "lm_tokens"), ("PRM tok/q", "prm_tokens"),
    ("seconds", "seconds"), ("errors", "errors"), ("folder", "folder"),
)  # fmt: skip
TITLES = {"accuracy": "headline", "majority": "majority_vote"}  # columns whose votes have another name


def row(run: Run) -> ComparedRow:
    """One flat row of the table; accuracies as [mean, low, high]. Tokens are means a question and seed."""
    figures: ComparedRow = {
        "run": run.name,
        "method": run.config["method"],
        "scorer": run.config["RM"] or "-",
        "settings": _settings(run.config),
        "questions": len(run.results),
        "lm_tokens": run.ledger.generated_tokens / max(1, run.questions),
        "prm_tokens": run.ledger.prm_tokens_computed / max(1, run.questions),
        "seconds": run.seconds,
        "errors": run.errors,
    }
    for name in next(iter(run.results.values()), {}):
        if name != TOKENS:
            figures[name] = list(stats.bootstrap([result[name] for result in run.results.values()]))
    return figures


def _settings(config: dict[str, Any]) -> str:
    options, sampling = config["method_config"], config["gen_config"]
    if options.get("budget") is not None:
        return f"budget {options['budget']}, T={sampling['temperature']}"
    method = METHODS.get(config["method"])  # None: a method that there is no more
    shape = method.shape(options) if method else ""
    return shape if method and method.greedy else f"{shape}, T={sampling['temperature']}"


def difference(run: Run, vote: str, other: Run, other_vote: str) -> ComparedRow | None:
    """Paired difference of two votes over the questions that both answered; None when there is no such question."""
    if run.config["dataset"]["task"] != other.config["dataset"]["task"]:
        raise UserError(f"{run.name} and {other.name} are of different tasks")
    for side, name in ((run, vote), (other, other_vote)):
        if side.results and (name == TOKENS or name not in next(iter(side.results.values()))):
            known = ", ".join(vote for vote in next(iter(side.results.values())) if vote != TOKENS)
            raise UserError(f"{side.name} has no vote {name!r}; it has: {known}")
    shared = sorted(set(run.results) & set(other.results))
    if not shared:
        return None
    a, b = ([side.results[i][name] for i in shared] for side, name in ((run, vote), (other, other_vote)))
    binary = set(a) | set(b) <= {0, 1}
    return {
        "run": f"{run.name}:{vote}",
        "against": f"{other.name}:{other_vote}",
        "questions": len(shared),
        "difference": list(stats.paired_bootstrap(a, b)),
        "mcnemar_p": stats.mcnemar(a, b) if binary else None,
    }


def table(rows: list[ComparedRow], markdown: bool) -> str:
    """The rows as aligned text, or as a Markdown table."""
    shown = [(title, key) for title, key in COLUMNS if any(key in r for r in rows)]
    return layout([[title for title, _ in shown], *([_cell(r.get(key)) for _, key in shown] for r in rows)], markdown)


def layout(cells: list[list[str]], markdown: bool) -> str:
    """Cells, the titles first, as aligned text or as a Markdown table."""
    if markdown:
        lines = ["| " + " | ".join(line) + " |" for line in cells]
        return "\n".join([lines[0], "|" + "---|" * len(cells[0]), *lines[1:]])
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return f"{100 * value[0]:.1f} [{100 * value[1]:.1f}, {100 * value[2]:.1f}]"
    if isinstance(value, float):
        return f"{value:.0f}" if value >= 10 else f"{value:.1f}"
    return str(value)


def sides(runs: list[Run], against: list[str]) -> list[tuple[Run | None, str]]:
    """(run, vote) of each `RUN:vote`; an empty RUN is None, every run itself, a missing vote the headline."""
    chosen = []
    for wanted in against:
        name, _, vote = wanted.rpartition(":") if ":" in wanted else (wanted, "", "")
        other = (next((run for run in runs if _same(run, name)), None) or read(Path(name))) if name else None
        chosen.append((other, TITLES.get(vote, vote) or "headline"))
    return chosen


def differences(runs: list[Run], others: list[tuple[Run | None, str]]) -> list[ComparedRow]:
    """Every run's headline against each of the other sides."""
    pairs = [(run, other or run, vote) for other, vote in others for run in runs]
    apart = [(run, other, vote) for run, other, vote in pairs if not (run is other and vote == "headline")]
    rows = [difference(run, "headline", other, vote) for run, other, vote in apart]
    return [row for row in rows if row is not None]


def short_names(runs: list[Run]) -> dict[str, str]:
    """A run's name -> method, scorer and seed; the end of its folder too where two would be called the same."""
    different = list({run.name: run for run in runs}.values())
    texts, ends = [_described(run) for run in different], _ends([run.folders[0] for run in different])
    return {
        run.name: f"{text} {end}" if texts.count(text) > 1 else text
        for run, text, end in zip(different, texts, ends, strict=True)
    }


def _described(run: Run) -> str:
    seeds = f"{len(run.seeds)} seeds" if len(run.seeds) > 1 else f"seed {next(iter(run.seeds))}"
    return " ".join(filter(None, [run.config["method"], run.config["RM"], seeds]))


def _ends(paths: list[Path]) -> list[str]:
    """The last parts of each path, as few as tell them apart."""
    for length in range(1, max((len(path.parts) for path in paths), default=1)):
        ends = [str(Path(*path.parts[-length:])) for path in paths]
        if len(set(ends)) == len(ends):
            return ends
    return [str(path) for path in paths]


def _same(run: Run, name: str) -> bool:
    return Path(run.name.partition(" and ")[0]).resolve() == Path(name).resolve()


def compare(folders: list[Path], against: list[str], pool_seeds: bool, markdown: bool, out: Path | None) -> None:
    """Read, print, and write `out`. Raises UserError."""
    whole = merge([read(path) for path in folders])
    runs = pool(whole) if pool_seeds else whole
    others = sides(runs, against)
    rows, paired = [row(run) for run in runs], differences(runs, others)
    apart = [other for other, _ in others if other is not None and other not in runs]
    for run in [*whole, *apart]:
        for gap in gaps(run.name, run.config, run.questions, run.errors):
            print(f"compare.py: {gap}", file=sys.stderr)
    if len({(r["method"], r["scorer"], r["settings"]) for r in rows}) < len(rows):
        for r, folder in zip(rows, _ends([run.folders[0] for run in runs])):
            r["folder"] = folder
    print(table(rows, markdown))
    names = short_names([*runs, *apart])
    for d in paired:
        (name, _, vote), (other, _, other_vote) = (d[side].rpartition(":") for side in ("run", "against"))
        p_value = "" if d["mcnemar_p"] is None else f", McNemar p = {d['mcnemar_p']:.2g}"
        mean, low, high = (100 * value for value in d["difference"])
        figures = f"{mean:+.1f} [{low:+.1f}, {high:+.1f}] points, n = {d['questions']}{p_value}"
        print(f"{names[name]}:{vote} - {names[other]}:{other_vote}: {figures}")
    if out:
        out.write_text(json.dumps({"rows": rows, "differences": paired}, indent=2) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    p = Parser(prog="compare.py", description="Compare run folders in one table.")
    p.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR")
    p.add_argument(
        "--against", action="append", default=[], metavar="RUN_DIR:VOTE",
        help="paired difference of each run's headline to this; `:majority` is each run's own; may be repeated",
    )  # fmt: skip
    p.add_argument("--pool_seeds", action="store_true", help="average runs that differ in --seed alone")
    p.add_argument("--markdown", action="store_true", help="print Markdown tables")
    p.add_argument("--json", type=Path, metavar="FILE", help="also write rows and differences here")
    args = p.parse_args(arguments)
    act = partial(compare, args.runs, args.against, args.pool_seeds, args.markdown, args.json)
    return run_command("compare.py", act)


if __name__ == "__main__":
    sys.exit(main())
