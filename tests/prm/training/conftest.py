import json
import random

import pytest

from tests.prm.tiny import changed, save_prm, some_inputs, tokenizer_in


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    return tokenizer_in(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A small random PRM, to be trained."""
    return save_prm(tmp_path_factory.mktemp("base"), changed(self_test=None))


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Files of the common format: 24 solutions to train on, 12 to test on."""
    folder = tmp_path_factory.mktemp("data")
    for name, count, seed in (("train", 24, 1), ("test", 12, 2)):
        write(folder / f"{name}.jsonl", some_rows(count, seed))
    return folder


def some_rows(count, seed=0):
    """Rows of the common format with random labels and values; every other solution has a wrong step."""
    rng = random.Random(seed)
    rows = []
    for number, (question, steps) in enumerate(some_inputs(count, seed)):
        labels = [1] * len(steps)
        if number % 2:
            first = rng.randrange(len(steps))
            labels[first:] = [0] * (len(steps) - first)
        values = [rng.choice((0.25, 0.5, 1.0)) if label else 0.0 for label in labels]
        rows.append({"question": question, "steps": steps, "labels": labels, "values": values})
    return rows


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
