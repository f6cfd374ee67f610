"""Does a rollout engine sample with the policy's weights? It is asked after each push, for a few tokens."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import torch

from envs.base_env import Problem
from reason.common.errors import RunError
from reason.inference.base import RolloutLM, Sampling
from reason.inference.ledger import Ledger
from train.core.processes import ALONE, Processes
from train.mat.agents.policy import Policy
from train.mat.buffers.batches import passes
from train.mat.buffers.rollout import Rollout

SEEDS, TOKENS = range(4), 8
EXACT, ROUNDED = 1e-3, 5e-2  # nats a token, where both compute in fp32 and where one of them rounds to 16 bits


async def verify(
    policy: Policy, engine: RolloutLM, problem: Problem, prompt_ids: list[int], processes: Processes = ALONE
) -> None:
    """Compare the log-probabilities of some solutions' beginnings by the engine with the policy's own.

    Every replica is asked. The whole distribution is, because where it is truncated rounding may decide about a token.
    Raises RunError where they differ by more than rounding, ModelError; both in all processes.
    """
    whole = Sampling(max_tokens=TOKENS)
    with processes.together():
        asked = (engine.generate(prompt_ids, whole, list(SEEDS), Ledger()) for _ in range(engine.replicas))
        samples = [sample for group in await asyncio.gather(*asked) for sample in group]
    rollouts = [
        Rollout(problem, 0, prompt_ids, list(sample.token_ids), [], True, 0.0, sampled_logprob=sample.logprob)
        for sample in samples
    ]
    allowed = EXACT if engine.details["dtype"] == "float32" and not policy.autocast else ROUNDED
    gap = gaps(replace(policy, sampling=whole), rollouts, processes)
    with processes.together():
        if not gap <= allowed:
            raise RunError(
                f"the rollout engine does not sample with the policy's weights: its log-probabilities differ by "
                f"{gap:.2g} a token from the policy's own, where {allowed:g} is allowed; was a worker started again, "
                "or do two runs push to it?"
            )


@torch.no_grad()
def gaps(policy: Policy, rollouts: list[Rollout], processes: Processes = ALONE) -> float:
    """The largest difference of a solution's log-probability, by its tokens."""
    found = []
    plan = passes(rollouts, sum(rollout.length for rollout in rollouts), policy.device)
    for one in plan + plan[:1] * processes.missing(len(plan)):
        for rollout, part in zip(one.rollouts, one.split(policy.logprobs(one)[0]), strict=True):
            assert rollout.sampled_logprob is not None
            found.append(abs(part.sum().item() - rollout.sampled_logprob) / len(part))
    return torch.tensor(found).max().item()  # NaN, where there is one
