"""One update of policy and critic from a batch of solutions: the same for every algorithm.

The loss of a mini-batch is a sum over units whose weights are settled before it is cut into forward passes, and the
gradients of the passes are added up, those of all processes: the cut changes speed and memory and nothing else. Samples
of a question that came out the same go through the models once, with their weights added up; a policy that is sure of
itself draws few different ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from train.core.processes import ALONE, Processes
from train.core.update import Learner, update
from train.mat.agents.policy import Policy
from train.mat.buffers.batches import RolloutPass, alike, collate, minibatches, passes
from train.mat.buffers.rollout import Rollout
from train.mat.models.critic import Critic
from train.mat.trainers import kl, losses
from train.mat.trainers.algorithm import ActorCritic, Algorithm


@dataclass
class Means:
    """Means of named numbers, each with its own weights; `report` gives and forgets them."""

    sums: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, values: Tensor, counts: Tensor | None = None) -> None:
        """Count some values, each once or as often as `counts` says."""
        values = values.detach().float().cpu()
        counts = torch.ones_like(values) if counts is None else counts
        self.sums[name] = self.sums.get(name, 0.0) + (values * counts).sum().item()
        self.weights[name] = self.weights.get(name, 0.0) + counts.sum().item()

    def report(self, processes: Processes) -> dict[str, float]:
        """Name -> mean over all processes."""
        sums: Counter[str] = Counter()
        weights: Counter[str] = Counter()
        for of_one in processes.gather((self.sums, self.weights)):
            sums.update(of_one[0])
            weights.update(of_one[1])
        self.sums, self.weights = {}, {}
        return {name: total / max(weights[name], 1) for name, total in sums.items()}


@dataclass
class Trainer:
    """`critic` is needed by the algorithms that say so; each has a learner."""

    policy: Policy
    critic: Critic | None
    algorithm: Algorithm
    learners: list[Learner]  # the policy's, and the critic's where there is one
    token_budget: int  # padded tokens of a forward pass
    longest: int = 1  # most tokens of a solution, for aggregation "constant"
    processes: Processes = ALONE
    means: Means = field(default_factory=Means)

    def learn(self, rollouts: Sequence[Rollout], update: int) -> dict[str, float]:
        """All epochs over one batch of solutions; returns means of what was measured. Raises RunError.

        `update` names the batch in errors and seeds the mini-batches, so that a resumed run has the same ones. Each
        process is given all solutions.
        """
        looked_at = self.processes.union(self.processes.share(self.look_at(rollouts)))
        credited = self.algorithm.credited(looked_at)
        for epoch in range(self.algorithm.ppo_epoch):
            parts = minibatches(credited, self.algorithm.num_mini_batch, f"openr {update} {epoch}")
            for number, part in enumerate(parts):
                self._step(part, f"update {update}, epoch {epoch}, mini-batch {number}")
        return self.means.report(self.processes)

    @torch.no_grad()
    def look_at(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """The solutions with what must be known before the weights move: log-probabilities, the reference's, values.

        Each process does so for its share of the solutions. With a single step on the batch the old log-probabilities
        are those of that step's own forward pass.
        """
        algorithm, known = self.algorithm, {id(rollout): rollout for rollout in rollouts}
        with_reference = algorithm.kl_coef > 0
        with_old = algorithm.ppo_epoch * algorithm.num_mini_batch > 1 or algorithm.kl_in_reward
        if not (with_old or with_reference or self.critic is not None):
            return list(rollouts)
        for part, copies in self._passes(rollouts):
            of_tokens: dict[str, list[Tensor]] = {}
            last: list[float] | None = None
            if with_old:
                of_tokens["old_logprobs"] = self._split(part, self.policy.logprobs(part)[0])
            if with_reference:
                of_tokens["reference_logprobs"] = self._split(part, self.policy.reference_logprobs(part))
            if self.critic is not None:
                with self.policy.arithmetic():
                    values, after = self.critic(part)
                of_tokens["values"], last = self._split(part, values), after.tolist()
            for row, same in enumerate(copies):
                told: dict[str, Any] = {name: parts[row] for name, parts in of_tokens.items()}
                if last is not None:
                    told["last_value"] = last[row]
                for rollout in same:
                    known[id(rollout)] = replace(rollout, **told)
        return list(known.values())

    @staticmethod
    def _split(part: RolloutPass, of_tokens: Tensor) -> list[Tensor]:
        return part.split(of_tokens.float().cpu())

    def _passes(self, rollouts: Sequence[Rollout]) -> Iterator[tuple[RolloutPass, list[list[Rollout]]]]:
        """Forward passes over the different ones of this process's solutions, with all that each row stands for.

        A pass that is only for the passes of other processes is over a solution that stands for none.
        """
        device = self.policy.device
        copies = {id(same[0]): same for same in alike(self.processes.share(rollouts))}
        found = passes([same[0] for same in copies.values()], self.token_budget, device)
        missing = self.processes.missing(len(found))
        for one in found:
            yield one, [copies[id(rollout)] for rollout in one.rollouts]
        for _ in range(missing):
            yield collate([min(rollouts, key=lambda rollout: rollout.length)], device), [[]]

    def _step(self, batch: Sequence[Rollout], where: str) -> None:
        """One step of both optimizers, from the gradients of all processes."""
        algorithm = self.algorithm
        sizes = [len(one.advantages) for one in batch]
        weights = losses.unit_weights(sizes, algorithm.weighing, self.longest)
        lengths = [len(one.token_ids) for one in batch]
        of_tokens = losses.unit_weights(lengths, algorithm.weighing, self.longest)
        share = {id(one): pair for one, *pair in zip(batch, weights, of_tokens, strict=True)}
        values = sum(len(one.returns) for one in batch if one.returns is not None)
        silent = algorithm.kl_coef == 0 and algorithm.entropy_coef == 0 and self.critic is None
        with_gradient = [one for one in batch if not silent or bool(one.advantages.any())]  # the others' is 0
        self.means.add("with_gradient", torch.tensor([float(len(with_gradient))]) / len(batch))
        if not with_gradient:
            return

        def loss_of(part: tuple[RolloutPass, list[list[Rollout]]]) -> Tensor:
            one, copies = part
            counts = torch.tensor([float(len(same)) for same in copies])
            shares = torch.tensor([share[id(rollout)] for rollout in one.rollouts]) * counts[:, None]
            loss = self._policy_loss(one, counts, shares, sum(lengths))
            if self.critic is not None:
                loss = loss + self._value_loss(one, counts) / values
            return loss

        questions = ", ".join(dict.fromkeys(one.problem.id for one in batch[:4]))
        where = f"{where} (questions {questions}, ...)"
        figures = update(
            self.learners, self._passes(with_gradient), loss_of, algorithm.max_grad_norm, where, self.processes
        )
        for name, value in figures.items():
            self.means.add(name, torch.tensor([value]))

    def _policy_loss(self, one: RolloutPass, counts: Tensor, shares: Tensor, tokens: int) -> Tensor:
        """The part of the loss that stands in one pass.

        counts: [rows], how many solutions a row stands for; shares: [rows, 2], what a unit and a token of them weigh.
        """
        algorithm, device = self.algorithm, self.policy.device
        logprobs, entropy = self.policy.logprobs(one)
        old = logprobs.detach()
        if one.rollouts[0].old_logprobs is not None:
            old = _whole([r.old_logprobs for r in one.rollouts]).to(device)
        lengths = torch.tensor([len(r.token_ids) for r in one.rollouts])
        sizes = torch.tensor([len(r.advantages) for r in one.rollouts])
        of_token = counts.repeat_interleave(lengths)  # how many tokens each stands for
        units = torch.cat(
            [first + _unit_of_token(r, algorithm.unit) for r, first in zip(one.rollouts, sizes.cumsum(0) - sizes)]
        ).to(device)
        advantages = torch.cat([r.advantages for r in one.rollouts]).to(device)
        log_ratios = losses.unit_log_ratios(logprobs - old, units, len(advantages), algorithm.mean_ratio)
        each, was_clipped = losses.clipped(log_ratios, advantages, *algorithm.clip_bounds)
        mismatch = self._mismatch(one, old)
        if algorithm.importance_cap:
            corrections = losses.importance_weights(mismatch, algorithm.importance_cap)
            each = each * corrections.repeat_interleave(sizes).to(device)
        of_units, of_tokens = shares.T
        loss = (each * of_units.repeat_interleave(sizes).to(device)).sum()
        if algorithm.entropy_coef:
            loss = loss - algorithm.entropy_coef * (entropy * of_token.to(device)).sum() / tokens
        if algorithm.kl_coef:
            reference = _whole([r.reference_logprobs for r in one.rollouts]).to(device)
            self.means.add("kl", kl.k3(logprobs, reference), of_token)
            if algorithm.kl_in == "loss":
                terms = kl.in_loss(algorithm.estimator, logprobs, old, reference)
                loss = loss + algorithm.kl_coef * (terms * of_tokens.repeat_interleave(lengths).to(device)).sum()
        self.means.add("entropy_learnt", entropy, of_token)  # of solutions with a gradient; all: runner.summary
        self.means.add("clip_fraction", was_clipped, counts.repeat_interleave(sizes))
        self.means.add("kl_old", kl.k3(old, logprobs), of_token)
        self.means.add("sampler_gap", (mismatch.cpu() / lengths).abs(), counts)
        return loss

    @staticmethod
    def _mismatch(one: RolloutPass, old: Tensor) -> Tensor:
        """[rows], log-probability of each solution by the trainer less that by the sampler; 0 where that is unknown."""
        sums = [part.sum() for part in one.split(old)]
        told = [float(s) if r.sampled_logprob is None else r.sampled_logprob for r, s in zip(one.rollouts, sums)]
        return (torch.stack(sums).cpu().double() - torch.tensor(told, dtype=torch.float64)).float()

    def _value_loss(self, one: RolloutPass, counts: Tensor) -> Tensor:
        """The sum over the units of the critic in one pass; `counts`: [rows], how many solutions a row stands for."""
        algorithm = self.algorithm
        assert self.critic is not None and isinstance(algorithm, ActorCritic)
        with self.policy.arithmetic():
            values, _ = self.critic(one)
        found = torch.zeros((), device=values.device)
        for rollout, now, count in zip(one.rollouts, one.split(values), counts.tolist(), strict=True):
            assert rollout.returns is not None and rollout.values is not None
            old, returns = rollout.values.to(now), rollout.returns.to(now)
            if len(returns) != len(now):  # of steps
                starts = torch.tensor(rollout.starts, device=now.device)
                now, old = now[starts], old[starts]
            each = losses.value_losses(now, old, returns, algorithm.value_clip, algorithm.huber_delta)
            self.means.add("value_loss", each, torch.full((len(each),), count))
            found = found + each.sum() * count
        return algorithm.value_loss_coef * found


def _whole(parts: Sequence[Tensor | None]) -> Tensor:
    """Log-probabilities of all solutions, which `look_at` has noted."""
    return torch.cat([part for part in parts if part is not None])


def _unit_of_token(rollout: Rollout, ratio: str) -> Tensor:
    if ratio == "token":
        return torch.arange(len(rollout.token_ids))
    if ratio == "step":
        return rollout.step_of_token()
    return torch.zeros(len(rollout.token_ids), dtype=torch.long)
