"""What a run says at its end: the means with their intervals, costs, failures, and OpenR's line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from reason.evaluation.records import Finished
from reason.evaluation.stats import bootstrap, mean
from reason.inference.ledger import Ledger

TOKENS = "total_completion_tokens"


def averages(finished: Sequence[Finished], measured: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Means over the questions that were answered (OpenR's keys), then counts, intervals, costs and levels.

    A failed question is counted in `errors` and in the ledger, and in no mean. `measured` is config.json's
    measured_steps, whose cost is in the ledger too.
    """
    answered = [(f.level, f.result) for f in finished if f.result is not None]
    ledger = Ledger.of(measured["ledger"]) if measured else Ledger()
    for record in finished:
        ledger.add(Ledger.of(record.ledger))
    averaged = means(finished)
    counts = sorted(Counter(level for level, _ in answered if level is not None).items())
    return {
        **averaged,
        "questions": len(finished),
        "errors": len(finished) - len(answered),
        "undecided": sum(f.undecided for f in finished),
        "seconds": max((f.elapsed for f in finished), default=0.0),
        "ledger": ledger.to_json(),
        "intervals": {
            name: bootstrap([result[name] for _, result in answered])[1:] for name in averaged if name != TOKENS
        },
        "levels": {
            level: {"questions": count, "headline": mean([r["headline"] for its, r in answered if its == level])}
            for level, count in counts
        },
    }


def means(finished: Sequence[Finished]) -> dict[str, float]:
    """The mean of every result over the answered questions; empty when there is none."""
    results = [f.result for f in finished if f.result is not None]
    return {name: mean([result[name] for result in results]) for name in (results[0] if results else ())}


def closing_lines(method: str, where: str, finished: Sequence[Finished]) -> list[str]:
    """The last lines of the console: folder, failures, cuts, OpenR's line."""
    errors = [f.error for f in finished if f.error is not None]
    lines = [f"Run folder: {where}"]
    if errors:
        kinds = Counter(error["type"] for error in errors)
        lines.append(
            f"{len(errors)} of {len(finished)} questions failed ({', '.join(f'{k} {n}' for k, n in kinds.items())}; "
            f"first: {errors[0]['message'][:300]}); --resume_dir {where} tries them again"
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
