"""The rollout engines: LanguageModels that sample with the policy's weights as they were at the last `push`.

    transformers   in this process, over the policy's own weights or a copy of them
    vllm           in this process, with weights of its own, which are pushed through memory
    served         LM workers behind the controller; weights go to each through a folder on a shared disk

The last two start with other weights or keep those of another run; what a push left out shows in the log-probabilities
that verify.py looks at.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from envs.base_env import Task
from reason.common.errors import UserError
from reason.engine.loading import context_length, load_vllm
from reason.engine.slots import ATTENTION
from reason.inference import CONTROLLER, LocalOptions, open_lm, open_rm
from reason.inference.base import RewardModel, RolloutLM, Sample, Sampling, ServiceError
from reason.inference.fastchat import FastChatLM
from reason.inference.ledger import Ledger
from reason.inference.local import LocalLM
from reason.inference.served_weights import ServedRolloutLM
from reason.model_cards.card import LMCard
from train.core.processes import Processes
from train.mat.agents.policy import Policy
from train.mat.arguments import RolloutOptions


@dataclass
class OwnLM:
    """A `RolloutLM`: the transformers engine over the model that learns. With `own_weights` over a copy, so that it may
    sample while the policy learns.
    """

    policy: Policy
    rows: int  # solutions under way
    own_weights: bool = False
    answering: LocalLM | None = None
    replicas: int = 1

    @property
    def lm(self) -> LocalLM:
        """Who answers."""
        if self.answering is None:
            raise RuntimeError("push the policy's weights first")
        return self.answering

    @property
    def card(self) -> LMCard:
        """See `LanguageModel`."""
        return self.policy.card

    @property
    def details(self) -> Mapping[str, Any]:
        """See `LanguageModel`."""
        return self.lm.details

    async def generate(
        self, prompt: str | Sequence[int], sampling: Sampling, seeds: Sequence[int], ledger: Ledger
    ) -> list[Sample]:
        """See `LanguageModel`."""
        return await self.lm.generate(prompt, sampling, seeds, ledger)

    async def logprobs_of(self, prompt: str, tokens: Sequence[str], ledger: Ledger) -> list[float]:
        """See `LanguageModel`."""
        return await self.lm.logprobs_of(prompt, tokens, ledger)

    async def push(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """See `RolloutLM`. A new engine over the policy's model as it is now: the weights need no reading."""
        await self.close()
        model = self.policy.sampler(ATTENTION, self.own_weights)
        self.answering = LocalLM.over(model, self.policy.tokenizer, self.policy.card, self.rows)

    async def close(self) -> None:
        """See `LanguageModel`."""
        if self.answering is not None:
            await self.answering.close()
            self.answering = None


async def open_rollout_lm(
    options: RolloutOptions, policy: Policy, path: str, trust_remote_code: bool, served: FastChatLM | None,
    folder: Path, processes: Processes,
) -> RolloutLM:  # fmt: skip
    """What solutions are sampled by. Raises UserError.

    path: where vLLM finds config and tokenizer; served: the workers of --rollout_model; folder: the run's.
    """
    if served is not None:
        return ServedRolloutLM.over(served, folder / "weights", processes.first)
    if options.rollout_engine != "vllm":
        return OwnLM(policy, options.rows, own_weights=options.overlap)
    try:
        engine = load_vllm(
            path, policy.tokenizer, str(policy.sampler_dtype).removeprefix("torch."),
            context_length(policy.causal.config.get_text_config()), options.rows, options.rollout_gpu_memory,
            random_weights=True, takes_weights=True, trust_remote_code=trust_remote_code,
        )  # fmt: skip
    except UserError as error:
        raise UserError(f"--rollout_engine vllm: {error}") from error
    return LocalLM(policy.card, engine)


@contextlib.asynccontextmanager
async def served_lm(args: argparse.Namespace) -> AsyncIterator[FastChatLM | None]:
    """The workers of --rollout_model, or None with another engine. Raises ServiceError."""
    if args.rollout_engine != "served":
        yield None
        return
    async with open_lm(args.rollout_model, controller_addr=args.controller_addr) as served:
        if not isinstance(served, FastChatLM) or not served.details.get("weight_updates"):
            raise ServiceError(f"the workers of {args.rollout_model!r} keep their weights: start them with "
                               "--allow-weight-updates (LM_ARGS of the service scripts)")  # fmt: skip
        yield served


@contextlib.asynccontextmanager
async def prm(args: argparse.Namespace, task: Task) -> AsyncIterator[RewardModel | None]:
    """The PRM that was asked for, or None. Raises UserError."""
    name = args.prm_name_or_path
    if name is None or not args.process_weight:
        yield None
        return
    named = name.partition(":")[0] in ("local", "oracle")
    local = LocalOptions(
        device=args.device, base_model=args.prm_base_model, card_flag="--prm_card",
        trust_remote_code=args.trust_remote_code,
        cache_mb=0,  # what was scored before changes a score's rounding, so a resumed run would not be the same
    )  # fmt: skip
    opening = open_rm(
        name if named or args.controller_addr else f"local:{name}", task=task, seed=args.seed, card=args.prm_card,
        controller_addr=args.controller_addr or CONTROLLER, local=local,
    )  # fmt: skip
    try:
        rm = await opening
    except UserError as error:
        raise UserError(f"--prm_name_or_path: {error}") from None
    try:
        if args.credit == "min_form" and rm.card.meaning == "log_ratio":
            raise UserError(f"--credit min_form is of scores in [0, 1], but those of {rm.card.name} are log-ratios")
        yield rm
    finally:
        await rm.close()
