"""PRM800K (Lightman et al., 2023): each candidate step is judged after the steps that the labeller went on from.

A row holds a trajectory. At each of its steps labellers rated several completions and went on from the chosen one, or,
where none was right, from a step they wrote themselves (phase 1). A row gives the trajectory as one solution, and for
each other completion the trajectory up to that point with the completion as its last step.
"""

from __future__ import annotations

from collections.abc import Iterator

from data.preprocess.common import RIGHT, UNKNOWN, WRONG, LabelledSolution, ReadingOptions
from reason.common.rows import BadRow, Row, elements, field, optional, quoted, text_field

RatedStep = tuple[str, int]  # text and label


def read(row: Row, options: ReadingOptions) -> Iterator[LabelledSolution]:
    """The trajectory first, unless it ends in alternatives alone; then the alternatives, step by step. Raises BadRow.

    A step is a pair that differs in text or label from the others at its place; copies are counted and left out.
    Nothing follows a step at which no completion was chosen.
    """
    question = text_field(field(row, "question", dict), "problem", "question.")
    steps = elements(field(row, "label", dict), "steps", dict, "label.")
    trajectory: list[RatedStep] = []
    branches: list[list[RatedStep]] = []
    for i, step in enumerate(steps):
        candidates, chosen = _candidates(step, f"label.steps[{i}].", options)
        distinct = dict.fromkeys(candidates)
        options.notes["repeated completions left out"] += len(candidates) - len(distinct)
        branches += [[*trajectory, other] for other in distinct if other != chosen]
        if chosen is None:
            options.notes["steps after one without a chosen completion left out"] += len(steps) - i - 1
            break
        trajectory.append(chosen)
    if trajectory and not any(len(branch) > len(trajectory) for branch in branches):
        yield _solution(question, trajectory)
    for branch in branches:
        yield _solution(question, branch)


def _candidates(step: Row, at: str, options: ReadingOptions) -> tuple[list[RatedStep], RatedStep | None]:
    """The completions of a step, the human one last, and which of them the trajectory goes on from."""
    completions = [] if step.get("completions") is None else elements(step, "completions", dict, at)
    candidates = [_rated(c, f"{at}completions[{i}].", options) for i, c in enumerate(completions)]
    index = optional(step, "chosen_completion", int, at)
    human = optional(step, "human_completion", dict, at)
    if index is not None and not 0 <= index < len(candidates):
        raise BadRow(f"{at}chosen_completion", f"is {index}, and there are {len(candidates)} completions")
    if human is not None:
        text, label = _rated(human, f"{at}human_completion.", options)
        # Labellers wrote one where every completion was wrong, to go on from: it is right unless it was rated.
        candidates.append((text, RIGHT if human.get("rating") is None else label))
    if index is not None:
        return candidates, candidates[index]
    return candidates, candidates[-1] if human is not None else None


def _rated(completion: Row, at: str, options: ReadingOptions) -> RatedStep:
    """A completion and its label; a rating of null says nothing."""
    rating = optional(completion, "rating", int, at)
    labels = {1: RIGHT, 0: options.neutral, -1: WRONG, None: UNKNOWN}
    if rating not in labels:
        raise BadRow(f"{at}rating", f"-1, 0, 1 or null is needed, not {quoted(rating)}")
    return text_field(completion, "text", at), labels[rating]


def _solution(question: str, steps: list[RatedStep]) -> LabelledSolution:
    return LabelledSolution(question, [text for text, _ in steps], [label for _, label in steps])
