"""Drawing tokens: the inverse of the cumulated distribution, whatever is drawn beside a sample."""

import pytest
import torch

from reason.engine import sampling
from reason.engine.sampling import draw, lowest_kept


def settings(rows, temperature=1.0, top_p=1.0, top_k=-1):
    return torch.full((rows,), temperature), torch.full((rows,), top_p), torch.full((rows,), top_k)


def plain(logits, temperature, top_p, top_k, uniform, row):
    """The inversion in one piece, in double precision."""
    scaled = logits / temperature[:, None]
    scaled = scaled.masked_fill(scaled < lowest_kept(scaled, top_p, top_k)[:, None], -torch.inf)
    logprobs = scaled.double().log_softmax(-1)
    cumulated = logprobs.exp().cumsum(-1)
    last = cumulated.shape[1] - 1
    tokens = (cumulated[row, :last] <= (uniform * cumulated[row, -1])[:, None]).sum(-1)
    return tokens, logprobs[row, tokens].float()


@pytest.mark.parametrize("vocabulary", [1, 2, 3, 288, 1000, 50_000])
@pytest.mark.parametrize("truncation", [{}, {"top_p": 0.8}, {"top_k": 5}, {"top_p": 0.9, "top_k": 30}])
def test_draws_invert_the_cumulated_distribution(vocabulary, truncation):
    random = torch.Generator().manual_seed(vocabulary)
    rows, samples = 7, 300
    logits = 3 * torch.randn(rows, vocabulary, generator=random)
    uniform = torch.rand(samples, dtype=torch.float64, generator=random)
    uniform[:2] = torch.tensor([0.0, 1 - 2.0**-53])
    row = torch.randint(rows, (samples,), generator=random)
    given = (logits, *settings(rows, 0.7, **truncation), uniform, row)
    (tokens, logprobs), (right, their_logprobs) = draw(*given), plain(*given)
    assert (tokens == right).float().mean() >= 0.99  # sums of float32 weights: a number at a border may cross it
    torch.testing.assert_close(logprobs[tokens == right], their_logprobs[tokens == right], atol=1e-5, rtol=0)
    assert logprobs.isfinite().all()  # nothing that was left out is drawn


def test_a_draw_does_not_depend_on_its_neighbours(monkeypatch):
    """To the bit: alone, together, greedy and sampled mixed, and with rows taken in other parts."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 3000, generator=random)
    temperature, top_p, top_k = settings(9)
    temperature[::3] = 0
    uniform = torch.rand(9, dtype=torch.float64, generator=random)
    tokens, logprobs = draw(logits, temperature, top_p, top_k, uniform, torch.arange(9))
    for i in range(9):
        one = slice(i, i + 1)
        alone = draw(logits[one], temperature[one], top_p[one], top_k[one], uniform[one], torch.tensor([0]))
        assert (alone[0].item(), alone[1].item()) == (tokens[i].item(), logprobs[i].item())
    monkeypatch.setattr(sampling, "IN_CACHE", 2 * 3000)
    parts = draw(logits, temperature, top_p, top_k, uniform, torch.arange(9))
    assert torch.equal(parts[0], tokens) and torch.equal(parts[1], logprobs)
    assert torch.equal(tokens[::3], logits.argmax(-1)[::3])


def test_logits_that_are_no_numbers_give_a_log_probability_that_is_none():
    logits = torch.zeros(3, 300)
    logits[1, 7] = torch.nan
    logits[2, 9] = torch.inf
    tokens, logprobs = draw(logits, *settings(3), torch.full((3,), 0.5, dtype=torch.float64), torch.arange(3))
    assert logprobs.isfinite().tolist() == [True, False, False]
    assert ((tokens >= 0) & (tokens < 300)).all()
