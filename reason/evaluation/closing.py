"""What a run says at its end: the means with their intervals, costs, failures, and OpenR's line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from reason.evaluation.records import Finished
from reason.evaluation.stats import bootstrap, mean
from reason.inference.ledger import Ledger

TOKENS = "total_completion_tokens"


def averages(finished: Sequence[Finished]) -> dict[str, Any]:
    """Means over the questions that were answered (OpenR's keys), then counts, intervals, costs and levels.

    A failed question is counted in `errors` and in the ledger, and in no mean.
    """
    answered = [f for f in finished if f.result is not None]
    ledger = Ledger()
    for record in finished:
        ledger.add(Ledger(**record.ledger))
    return {
        **means(finished),
        "questions": len(finished),
        "errors": len(finished) - len(answered),
        "undecided": sum(f.undecided for f in finished),
        "seconds": max((f.elapsed for f in finished), default=0.0),
        "ledger": ledger.to_json(),
        "intervals": {
            name: bootstrap([f.result[name] for f in answered])[1:] for name in _names(answered) if name != TOKENS
        },
        "levels": {
            level: {"questions": count, "headline": mean([f.result["headline"] for f in answered if f.level == level])}
            for level, count in sorted(Counter(f.level for f in answered if f.level is not None).items())
        },
    }


def means(finished: Sequence[Finished]) -> dict[str, float]:
    """The mean of every result over the answered questions; empty when there is none."""
    answered = [f for f in finished if f.result is not None]
    return {name: mean([f.result[name] for f in answered]) for name in _names(answered)}


def closing_lines(method: str, where: str, finished: Sequence[Finished]) -> list[str]:
    """The last lines of the console: folder, failures, cuts, OpenR's line."""
    failed = [f for f in finished if f.error is not None]
    lines = [f"Run folder: {where}"]
    if failed:
        kinds = Counter(f.error["type"] for f in failed)
        lines.append(
            f"{len(failed)} of {len(finished)} questions failed ({', '.join(f'{k} {n}' for k, n in kinds.items())}; "
            f"first: {failed[0].error['message'][:300]}); --resume_dir {where} tries them again"
        )
    for what in ("seconds", "tokens"):
        cut = sum(f.ledger.get(f"cut_by_{what}", 0) for f in finished)
        if cut:
            limit = f"--max_{what}_per_question"
            lines.append(f"{cut} of {len(finished)} questions were cut by {limit} and voted with what they had")
    undecided = sum(f.undecided for f in finished)
    if undecided:
        lines.append(f"{undecided} answers could not be graded (verdict null in record.jsonl) and count as not right")
    lines.append(f"Method: {method}. Average result: ({means(finished)},)")
    return lines


def _names(answered: Sequence[Finished]) -> list[str]:
    return list(answered[0].result) if answered else []
