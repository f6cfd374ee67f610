"""The oracle's labels in place of a file's own: `python -m train.tiny.oracle_labels IN.jsonl OUT.jsonl`.

For solutions of the arithmetic task in the common format of data/preprocess. A PRM that is trained on them is the
ceiling for those that are trained on the file's own labels.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from data.preprocess.common import encoded, read
from prm.benchmarks.arithmetic import judged
from reason.common.command import Parser, run_command
from reason.common.files import whole_file


def relabel(source: Path, out: Path) -> None:
    """Write the solutions of `source` with the oracle's labels. Raises UserError."""
    with whole_file(out) as file:
        for solution in read(source):
            labelled = judged(solution.question, solution.steps, solution.id)
            labelled.source = "oracle"
            file.write(encoded(labelled.to_json() + "\n"))


def main() -> int:
    """The command; returns its exit status."""
    p = Parser(prog="oracle_labels.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("source", type=Path)
    p.add_argument("out", type=Path)
    args = p.parse_args()
    return run_command(p.prog, lambda: relabel(args.source, args.out))


if __name__ == "__main__":
    sys.exit(main())
