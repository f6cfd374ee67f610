"""Rows of the transformers engine's slots: what is in them follows their samples, wherever they are moved."""

import random

import numpy as np
import torch
from transformers import AutoConfig

from reason.engine.rows import Rows
from reason.engine.slots import CHUNK, Slots


def test_keys_and_values_follow_the_samples(policy) -> None:
    """Rows of random lengths are opened, forked and freed in blocks of 4; each sample finds its own tokens' states."""
    slots = Slots(AutoConfig.from_pretrained(policy), torch.float32, torch.device("cpu"))
    rows = Rows(slots, 60, 4)
    rng = random.Random(0)
    texts: list[list[int]] = []  # of each sample, what it has drawn and the prompt, without the next input
    blocks_read, sorted_read = 0, 0
    for _ in range(300):
        if len(texts) < 40:
            prompt = [rng.randrange(1, 1000) for _ in range(rng.choice((3, 40, 90)))]
            members = slice(len(texts), len(texts) + rng.randint(1, 4))
            row = rows.open(members, 0, len(prompt))
            slots.reserve(rows.active, len(prompt))
            slots.keys[:, row, :, : len(prompt)] = torch.tensor(prompt, dtype=torch.float32)[:, None]
            slots.values[:, row, :, : len(prompt)] = -torch.tensor(prompt, dtype=torch.float32)[:, None]
            texts += [list(prompt) for _ in range(members.stop - members.start)]
        ids, numbers, positions, blocks = rows.inputs(rows.active)
        assert [block.first for block in blocks] == list(range(0, rows.active, 4))
        assert all((positions[block.first : block.end] < block.length).all() for block in blocks)
        blocks_read += sum(block.length for block in blocks)
        best = np.sort(positions)[::-1][::4]
        sorted_read += sum(int(longest) // CHUNK * CHUNK + CHUNK for longest in best)
        slots.keys[:, numbers, :, positions] = torch.from_numpy(ids).float()[:, None, None, None]
        slots.values[:, numbers, :, positions] = -torch.from_numpy(ids).float()[:, None, None, None]
        for sample, text in enumerate(texts):
            text.append(int(ids[rows.of[sample]]))
        rows.written()
        for sample in sorted(rng.sample(range(len(texts)), min(len(texts), rng.randint(0, 3))), reverse=True):
            rows.leave(sample, len(texts) - 1)
            texts[sample] = texts[-1]
            texts.pop()
        rows.go_on(np.array([rng.choice((1, 1, 1, 2)) for _ in texts], np.int64))
        for sample, text in enumerate(texts):
            row = int(rows.of[sample])
            assert rows.position[row] == len(text)
            assert slots.keys[0, row, 0, : len(text), 0].tolist() == text
            assert slots.values[-1, row, -1, : len(text), -1].tolist() == [-token for token in text]
        assert sorted(set(rows.of[: len(texts)].tolist())) == list(range(rows.active))
    assert blocks_read <= 1.1 * sorted_read, "blocks do not stay mixed"
