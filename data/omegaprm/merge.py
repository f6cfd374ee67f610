"""From journals to the output file: `python -m data.omegaprm.merge FOLDER... --output FILE`.

The folders are the shards of one run, or one whole run. The questions come in their own order, whatever order they
were finished in, so a sharded, a killed and an undisturbed run end with the same bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from data.omegaprm.journal import CONFIG, JOURNAL, PARTS, read_journal, refuse_difference
from data.omegaprm.labeller import ERROR, LABELLED, STATUSES
from data.omegaprm.labels import ESTIMATED, GRADED, INFERRED
from data.omegaprm.output import LabelRecord, line
from reason.common.command import Parser, run_command, str2bool
from reason.common.errors import UserError
from reason.common.files import json_line, read_json, whole_file


def merge(folders: Sequence[Path], output: Path, as_tree: bool) -> LabelRecord:
    """Write the labelled questions of all shards, one line each; returns the totals. Raises UserError."""
    last: dict[int, tuple[Path, int, str]] = {}  # index -> where its last line begins, and its status
    spent = Counter[str]()
    for folder in folders:
        for (begin, _), record in read_journal(folder):
            last[record["index"]] = (folder, begin, record["status"])
            spent.update(record["ledger"])
    labels = Counter[str]()
    output.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files, whole_file(output) as target:
        owners = {folder for folder, _, _ in last.values()}
        journals = {folder: files.enter_context(open(folder / JOURNAL, "rb")) for folder in owners}
        for folder, begin, status in (last[index] for index in sorted(last)):
            if status == LABELLED:
                journals[folder].seek(begin)
                record = json.loads(journals[folder].readline())
                labels.update(record["counts"])
                target.write(json_line(line(record, as_tree)))
    statuses = Counter(status for _, _, status in last.values())
    return {
        "questions": {status: statuses[status] for status in STATUSES},
        "labels": {kind: labels[kind] for kind in (ESTIMATED, INFERRED, GRADED, "rollout")},
        "spent": dict(sorted(spent.items())),
    }


def check_shards(folders: Sequence[Path], allow_missing: bool) -> None:
    """Refuse folders of different runs, shards that are missing or given twice, and unfinished ones."""
    configs = [read_json(folder / CONFIG) for folder in folders]
    numbers = [(config["shard"]["number"], config["shard"]["of"]) for config in configs]
    for folder, config in zip(folders, configs):
        refuse_difference(folder, configs[0], config, [part for part in PARTS if part != "shard"])
    total = numbers[0][1]
    if any(of != total for _, of in numbers) or len(set(numbers)) != len(numbers):
        raise UserError(f"the shards do not belong together: {', '.join(f'{i}/{n}' for i, n in numbers)}")
    missing = sorted(set(range(1, total + 1)) - {i for i, _ in numbers})
    if missing and not allow_missing:
        raise UserError(f"shard {missing[0]}/{total} is missing; --allow_missing True merges without it")
    for folder, config, (i, n) in zip(folders, configs, numbers):
        questions = config["dataset"]["questions"]
        done = {record["index"] for _, record in read_journal(folder)}
        wanted = len(range(i - 1, questions, n))
        if len(done) < wanted and not allow_missing:
            advice = "finish it by its own command, or merge with --allow_missing True"
            raise UserError(f"{folder}: {wanted - len(done)} of {wanted} questions are not finished; {advice}")


def closing_line(totals: LabelRecord, output: Path) -> str:
    """What a run, or a merge, ends with on the console."""
    questions = ", ".join(f"{n} {status}" for status, n in totals["questions"].items() if n or status == LABELLED)
    labels = ", ".join(f"{n} {'on right rollouts' if kind == 'rollout' else kind}"
                       for kind, n in totals["labels"].items())  # fmt: skip
    return f"{output}: questions: {questions}; labelled steps: {labels}; {totals['spent'].get('rollouts', 0)} rollouts"


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    p = Parser(prog="merge.py", description="Merge the shards of a labelling run.")
    p.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="the shards' output folders")
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help="a JSONL file")
    p.add_argument("--save_data_tree", type=str2bool, default=True, metavar="True|False", help="tree lines, else flat")
    p.add_argument("--allow_missing", type=str2bool, default=False, metavar="True|False", help="shards or questions")
    args = p.parse_args(arguments)
    return run_command("merge.py", lambda: run(args))


def run(args: argparse.Namespace) -> int:
    """The command behind its arguments: 1 where a question failed. Raises UserError."""
    check_shards(args.folders, args.allow_missing)
    totals = merge(args.folders, args.output, args.save_data_tree)
    print(closing_line(totals, args.output))
    return int(totals["questions"][ERROR] > 0)


if __name__ == "__main__":
    sys.exit(main())
