"""Log-probabilities without their logits, critics, rewards."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from reason.inference.base import Sampling
from tests.train.mat.toys import rollout
from train.core import logprobs
from train.core.logprobs import chosen_logprobs
from train.mat.buffers.batches import collate
from train.mat.models.critic import Critic

SAMPLING = [Sampling(), Sampling(temperature=0.7), Sampling(temperature=1.3, top_k=4), Sampling(top_p=0.6, top_k=8)]


def inputs(rows: int = 40, size: int = 6, vocabulary: int = 11) -> tuple[torch.Tensor, nn.Linear, torch.Tensor]:
    torch.manual_seed(0)
    head = nn.Linear(size, vocabulary)
    return torch.randn(rows, size, requires_grad=True), head, torch.randint(0, vocabulary, (rows,))


@pytest.mark.parametrize("sampling", SAMPLING)
def test_chunks_and_recomputing_change_neither_values_nor_gradients(
    sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden, head, targets = inputs()
    found = []
    for kept, chunk in ((1 << 25, 1 << 25), (0, 11 * 7)):
        monkeypatch.setattr(logprobs, "KEPT_LOGITS", kept)
        monkeypatch.setattr(logprobs, "CHUNK_LOGITS", chunk)
        values, entropy = chosen_logprobs(hidden, head, targets, sampling, 11)
        gradients = torch.autograd.grad((values - 0.3 * entropy).sum(), [hidden, head.weight])
        found.append([values, entropy, *gradients])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-5) and bool(one.isfinite().all())


def test_they_are_of_the_truncated_distribution_and_a_target_is_never_left_out() -> None:
    hidden, head, _ = inputs()
    ordered = (head(hidden) / 0.5).sort(-1, descending=True)
    logits = ordered.values[:, :3].log_softmax(-1)
    sampling = Sampling(temperature=0.5, top_k=3)
    values, entropy = chosen_logprobs(hidden, head, ordered.indices[:, 1], sampling, 11)
    assert torch.allclose(values, logits[:, 1], atol=1e-5)
    assert torch.allclose(entropy, -(logits.exp() * logits).sum(-1), atol=1e-5)
    outside, _ = chosen_logprobs(hidden, head, ordered.indices[:, 5], sampling, 11)
    assert bool(outside.isfinite().all())


class Trunk(nn.Module):
    """Hidden states are embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)

    def forward(self, input_ids: torch.Tensor, use_cache: bool):
        class Output:
            last_hidden_state = self.embedding(input_ids)

        return Output


@pytest.mark.parametrize("kind", ["own", "shared"])
def test_a_critic_learns_values_and_leaves_the_policy_alone(kind: str) -> None:
    torch.manual_seed(0)
    trunk = Trunk()
    before = trunk.embedding.weight.detach().clone()
    critic = Critic(trunk, 4, kind)
    one = collate([rollout([1, 2], [2], [0.0]), rollout([2], [1], [0.0])], torch.device("cpu"))
    values, last = critic(one)
    assert values.tolist() == [0.0] * 3 and last.tolist() == [0.0] * 2  # before training
    optimizer = torch.optim.Adam(critic.trainable(), lr=0.01)
    for _ in range(300):
        values, last = critic(one)
        ((values - torch.tensor([0.5, 1.0, 0.5])) ** 2).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert values.tolist() == pytest.approx([0.5, 1.0, 0.5], abs=0.05)
    assert torch.equal(trunk.embedding.weight.detach(), before)
    assert any(name.startswith("trunk") for name in critic.state_dict()) == (kind == "own")
