"""Models behind a FastChat controller: one keep-alive session, workers looked up once and shared by load.

The wire is OpenR's with optional additions, so OpenR's workers answer too: bare values where they send no list,
fewer samples than asked for, no card.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential_jitter,
)

from envs.base_env import Problem
from reason.common.addresses import plain_address
from reason.common.errors import UserError, unknown
from reason.inference import judge
from reason.inference.base import ModelError, Sample, Sampling, ServiceError, Stats, Unavailable
from reason.inference.judge import JudgeRM
from reason.inference.ledger import Ledger
from reason.model_cards import card as cards
from reason.model_cards.card import LMCard, PRMCard

ATTEMPTS = 5
UNEVEN = 1.5  # a worker may have this many times the least busy one's requests, and
SPARE = 4  # so many more, and still be the one that is asked for what it has cached


class _Retryable(Unavailable):
    """Another try, perhaps at another worker, may succeed."""


@dataclass
class _Worker:
    address: str
    in_flight: int = 0
    failures: int = 0  # since its last success: a failing worker is asked last


@dataclass
class Services:
    """A session with the controller at `controller_addr`. Use as `async with Services(addr) as services`."""

    controller_addr: str
    request_timeout: float = 600.0  # seconds without a byte from a worker
    stats: Stats = field(default_factory=Stats)

    async def __aenter__(self) -> Services:
        self.controller_addr = plain_address(self.controller_addr)
        self.session = aiohttp.ClientSession(  # which takes no proxy from the environment
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=300),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=self.request_timeout),
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the session, that of every model that was asked for here."""
        await self.session.close()

    async def language_model(self, name: str) -> FastChatLM:
        """The policy LM registered as `name`; raises ServiceError with one line that says what to do."""
        pool, details = await self._model(name)
        card = self._card(name, details, "lm")
        assert isinstance(card, LMCard)
        return FastChatLM(card, details, pool)

    async def reward_model(self, name: str, seed: int = 0) -> FastChatRM | JudgeRM:
        """The PRM registered as `name`; raises ServiceError with one line that says what to do.

        `seed` is of the rationales of a generative judge.
        """
        pool, details = await self._model(name)
        card = self._card(name, details, "prm")
        assert isinstance(card, PRMCard)
        if card.head == "generative":
            rm = JudgeRM(card, FastChatLM(judge.lm_card(card), details, pool), details, seed)
            try:
                await rm.self_test()
            except ModelError as error:
                raise ServiceError(f"{name}: {error}") from None
            return rm
        return FastChatRM(card, details, pool)

    async def _model(self, name: str) -> tuple[WorkerPool, dict[str, Any]]:
        listed = (await self._controller("list_models")).get("models", [])
        if name not in listed:
            raise ServiceError(unknown(f"model at the controller {self.controller_addr}", name, sorted(listed)))
        pool = WorkerPool(self, name)
        await pool.look_up()
        try:
            return pool, await pool.post("model_details", {"model": name})
        except ModelError as error:
            raise ServiceError(f"{name}: {error}") from None

    def _card(self, name: str, details: dict[str, Any], kind: str) -> cards.Card:
        try:
            if "card" in details:
                card = cards.from_dict(details["card"], f"the worker of {name}")
            else:  # one of OpenR's workers
                card = cards.find(name, kind, flag="")
        except UserError as error:
            raise ServiceError(str(error)) from None
        if card.kind != kind:
            wanted = {"lm": "a policy LM (--LM)", "prm": "a reward model (--RM)"}[kind]
            raise ServiceError(f"{name!r} is served with the {card.kind} card {card.name!r}, it cannot be {wanted}")
        return card

    async def _controller(self, route: str, payload: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            async with self.session.post(f"{self.controller_addr}/{route}", json=payload or {}) as reply:
                return (await reply.json(content_type=None)) or {}
        except (aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
            raise ServiceError(
                f"no controller answers at {self.controller_addr} ({type(error).__name__}): "
                "start the services (reason/llm_service/create_service_*.sh) or give --controller_addr"
            ) from None


class WorkerPool:
    """All workers of one model. The least busy one takes the next request; a failed request is tried again."""

    def __init__(self, services: Services, model: str) -> None:
        self.services, self.model, self.workers = services, model, list[_Worker]()

    async def look_up(self) -> None:
        """Learn the workers' addresses. The controller hands them out one at a time, the least loaded first."""
        await self.services._controller("refresh_all_workers")
        found: dict[str, _Worker] = {worker.address: worker for worker in self.workers}
        repeats = 0
        while repeats <= 2 * len(found) + 1:
            reply = await self.services._controller("get_worker_address", {"model": self.model})
            address = reply.get("address", "")
            if not address:
                break
            repeats = repeats + 1 if address in found else 0
            found.setdefault(address, _Worker(address))
        self.workers = list(found.values())
        if not self.workers:
            raise ServiceError(f"no worker of {self.model!r} is alive")

    async def post(self, route: str, payload: dict[str, Any], home: str = "") -> dict[str, Any]:
        """POST to a worker and return its reply; raises ModelError after ATTEMPTS tries or on a final error.

        Requests of one `home` go to one worker, which has their prefixes cached, while it is about as busy as others.
        """
        tries = AsyncRetrying(
            # a worker that hangs is given one more chance, elsewhere if there is another
            stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(1.5 * self.services.request_timeout),
            wait=wait_exponential_jitter(multiplier=0.2, max=5.0),
            retry=retry_if_exception_type(_Retryable),
            reraise=True,
        )
        async for attempt in tries:
            with attempt:
                return await self._post_once(route, payload, home)
        raise AssertionError("unreachable: the last failed try is raised")

    def _choose(self, home: str) -> _Worker:
        """The least busy worker, or the one that `home` falls to (the same in every run with the same workers)."""
        least = min(self.workers, key=lambda w: (w.failures, w.in_flight))
        if not home:
            return least
        own = max(self.workers, key=lambda w: hashlib.blake2b(f"{w.address} {home}".encode(errors="replace")).digest())
        about_equal = own.failures <= least.failures and own.in_flight <= UNEVEN * least.in_flight + SPARE
        return own if about_equal else least

    async def _post_once(self, route: str, payload: dict[str, Any], home: str) -> dict[str, Any]:
        worker = self._choose(home)
        stats = self.services.stats
        worker.in_flight += 1
        stats.requests_in_flight += 1
        try:
            async with self.services.session.post(f"{worker.address}/{route}", json=payload) as reply:
                if reply.status != 200:
                    raise _Retryable(f"{worker.address}/{route} answered with HTTP status {reply.status}")
                data = await reply.json(content_type=None)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            worker.failures += 1
            raise _Retryable(f"{worker.address}/{route}: {type(error).__name__}: {error}") from None
        except ValueError:
            worker.failures += 1
            raise _Retryable(f"{worker.address}/{route} did not answer with JSON") from None
        except _Retryable:
            worker.failures += 1
            raise
        finally:
            worker.in_flight -= 1
            stats.requests_in_flight -= 1
        if not isinstance(data, dict):
            raise ModelError(f"{worker.address}/{route} answered with {type(data).__name__}, not an object")
        if data.get("error_code", 0):
            detail = data.get("error") or {}
            message = detail.get("message") or data.get("text") or f"error {data['error_code']}"
            kind = _Retryable if detail.get("retryable") else ModelError
            raise kind(f"{worker.address}/{route}: {str(message)[:500]}")
        worker.failures = 0
        return data


@dataclass
class FastChatLM:
    """A `LanguageModel` served by FastChat workers."""

    card: LMCard
    details: dict[str, Any]
    pool: WorkerPool

    @classmethod
    async def open(cls, name: str, controller_addr: str, request_timeout: float, stats: Stats | None) -> FastChatLM:
        """The policy LM registered as `name`, over a session of its own. Raises ServiceError."""
        services = await Services(controller_addr, request_timeout, stats or Stats()).__aenter__()
        try:
            return await services.language_model(name)
        except BaseException:
            await services.close()
            raise

    async def generate(
        self, prompt: str | Sequence[int], sampling: Sampling, seeds: Sequence[int], ledger: Ledger
    ) -> list[Sample]:
        """See `LanguageModel.generate`. A worker that draws fewer samples than asked for is asked again."""
        samples: list[Sample] = []
        while len(samples) < len(seeds):
            samples += await self._request(prompt, sampling, list(seeds[len(samples) :]), ledger)
        return samples

    async def _request(
        self, prompt: str | Sequence[int], sampling: Sampling, seeds: list[int], ledger: Ledger
    ) -> list[Sample]:
        started = time.monotonic()
        reply = await self.pool.post("worker_generate", payload(self.pool.model, prompt, sampling, seeds))
        try:
            samples = [read_sample(*row) for row in _rows(reply)]
            cost = _cost(reply, sum(sample.num_tokens for sample in samples), started)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelError(f"the LM worker's reply is malformed: {type(error).__name__}: {error}") from None
        if not 0 < len(samples) <= len(seeds):
            raise ModelError(f"the LM worker drew {len(samples)} samples, {len(seeds)} were asked for")
        ledger.add(cost)
        self.pool.services.stats.generated_tokens += cost.generated_tokens
        return samples

    async def logprobs_of(self, prompt: str, tokens: Sequence[str], ledger: Ledger) -> list[float]:
        """The log-probability of each of `tokens` (single tokens) as the next after `prompt`. Raises ModelError."""
        started = time.monotonic()
        asked = payload(self.pool.model, prompt, Sampling(max_tokens=1), [0]) | {"logprobs_of": list(tokens)}
        reply = await self.pool.post("worker_generate", asked)
        if "logprobs_of" not in reply:
            raise ModelError("the LM worker tells no log-probabilities of tokens: serve it with this project's worker")
        try:
            logprobs = [float(value) for value in reply["logprobs_of"][0]]
            cost = _cost(reply, 1, started)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelError(f"the LM worker's reply is malformed: {type(error).__name__}: {error}") from None
        if len(logprobs) != len(tokens) or not all(math.isfinite(value) and value <= 0 for value in logprobs):
            raise ModelError(f"the LM worker's log-probabilities of {len(tokens)} tokens are malformed")
        ledger.add(cost)
        return logprobs

    async def close(self) -> None:
        """See `LanguageModel.close`. The workers stay."""
        await self.pool.services.close()


def payload(model: str, prompt: str | Sequence[int], sampling: Sampling, seeds: list[int]) -> dict[str, Any]:
    """The body of a request to /worker_generate, for one sample a seed."""
    given = {"prompt": prompt} if isinstance(prompt, str) else {"prompt_token_ids": list(prompt)}
    return {
        "model": model,
        **given,
        "n": len(seeds),
        "seeds": seeds,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "max_new_tokens": sampling.max_tokens,
        "stop": list(sampling.stop),
        "stop_token_ids": None,
        "include_stop_str_in_output": True,
        "continued": sampling.continued,
        "echo": False,
    }


def _rows(reply: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What a reply of an LM worker says of each sample. Raises KeyError, ValueError for a malformed one."""
    names = ("text", "output_token_len", "finish_reason", "cumulative_logprob")
    columns = [_as_list(reply[name]) for name in names]
    token_ids = reply.get("token_ids")  # OpenR's workers do not tell
    return list(zip(*columns, [()] * len(columns[0]) if token_ids is None else token_ids, strict=True))


def read_sample(text: Any, length: Any, reason: Any, logprob: Any, token_ids: Any) -> Sample:
    """One sample of a reply. Raises TypeError, ValueError for what is none."""
    sample = Sample(str(text), int(length), str(reason), float(logprob), tuple(map(int, token_ids)))
    if sample.num_tokens < 0 or not math.isfinite(sample.logprob):
        raise ValueError(f"{length} tokens with a log-probability of {logprob}")
    return sample


def _cost(reply: dict[str, Any], generated: int, started: float) -> Ledger:
    """What one reply of an LM worker cost. Raises the errors of a malformed one."""
    usage = reply["usage"]
    return Ledger(
        lm_calls=1,
        prompt_tokens=int(_as_list(usage["prompt_tokens"])[0]),
        prompt_tokens_reused=int(usage.get("reused_tokens", 0)),  # OpenR's workers do not tell
        generated_tokens=generated,
        seconds_generating=time.monotonic() - started,
    )


@dataclass
class FastChatRM:
    """A `RewardModel` served by FastChat workers."""

    card: PRMCard
    details: dict[str, Any]
    pool: WorkerPool

    async def score(self, problem: Problem, solutions: Sequence[Sequence[str]], ledger: Ledger) -> list[list[float]]:
        """See `RewardModel.score`."""
        started = time.monotonic()
        payload: dict[str, Any] = {"model": self.pool.model}
        if "card" in self.details:
            payload["inputs"] = [{"question": problem.question, "steps": list(steps)} for steps in solutions]
        else:
            payload["input_str"] = [_plain_text(self.card, problem.question, steps) for steps in solutions]
        reply = await self.pool.post("worker_value_inference", payload, home=problem.question)
        scores = check_scores(reply.get("value"), solutions)
        usage = reply.get("usage") or {}
        ledger.prm_calls += 1
        ledger.prm_tokens_computed += int(usage.get("computed_tokens", 0))
        ledger.prm_tokens_reused += int(usage.get("reused_tokens", 0))
        ledger.seconds_scoring += time.monotonic() - started
        return scores

    async def close(self) -> None:
        """See `RewardModel.close`. The workers stay."""
        await self.pool.services.close()


async def open_fastchat_rm(
    name: str, controller_addr: str, request_timeout: float, seed: int, stats: Stats | None
) -> FastChatRM | JudgeRM:
    """The PRM registered as `name`, over a session of its own; `seed` as in `Services`. Raises ServiceError."""
    services = await Services(controller_addr, request_timeout, stats or Stats()).__aenter__()
    try:
        return await services.reward_model(name, seed)
    except BaseException:
        await services.close()
        raise


def check_scores(value: Any, solutions: Sequence[Sequence[str]]) -> list[list[float]]:
    """`value` as one finite score a step of each solution; raises ModelError on anything else."""
    if not isinstance(value, list) or len(value) != len(solutions):
        raise ModelError(f"the reward model did not answer with one list for each of {len(solutions)} solutions")
    for scores, steps in zip(value, solutions, strict=True):
        if not isinstance(scores, list) or len(scores) != len(steps):
            got = len(scores) if isinstance(scores, list) else type(scores).__name__
            raise ModelError(f"the reward model gave {got} scores for {len(steps)} steps")
        if not all(isinstance(s, int | float) and math.isfinite(s) for s in scores):
            raise ModelError("the reward model gave a score that is not a finite number")
    return [[float(s) for s in scores] for scores in value]


def _plain_text(card: PRMCard, question: str, steps: Sequence[str]) -> str:
    """The text that OpenR's reward worker takes: question, then each step with its tag.

    A tag that an LM wrote itself is dropped, because that worker gives a score for every tag. Raises ModelError for a
    card whose layout is no such text.
    """
    if card.chat or not card.step_tag:
        raise ModelError(f"card {card.name!r} lays out more than text with tags: serve it with this project's worker")
    text = card.question.replace("{question}", question)
    for n, step in enumerate(steps, 1):
        step = step.replace(card.step_tag, " ")
        values = {"{n}": str(n), "{tag}": card.step_tag, "{step}": step.strip() if card.strip else step}
        piece = card.step
        for name, value in values.items():
            piece = piece.replace(name, value)
        text += piece
    return text


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
