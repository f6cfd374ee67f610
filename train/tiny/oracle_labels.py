"""The oracle's labels in place of a file's own: `python -m train.tiny.oracle_labels IN.jsonl OUT.jsonl`.

For solutions of the arithmetic task in the common format of data/preprocess. A PRM that is trained on them is the
ceiling for those that are trained on the file's own labels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from data.preprocess.common import read
from prm.benchmarks.arithmetic import judged


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    with args.out.open("w", encoding="utf-8") as out:
        for solution in read(args.source):
            labelled = judged(solution.question, solution.steps, solution.id)
            labelled.source = "oracle"
            out.write(labelled.to_json() + "\n")


if __name__ == "__main__":
    main()
