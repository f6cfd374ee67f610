"""Continuous batching over a transformers model: one thread, one token a row and forward pass.

Of a request's prompt, all but the last token, what the cache does not know is computed once, into one row, with the
last prompt token as its first input. The request's samples share that row until they draw different tokens (`Rows`).
Finished samples make room for waiting ones after every pass, and what was computed for them goes into the cache.
Book-keeping is one array operation for all samples, so Python runs per sample only when a sample starts, ends, parts
from others or may hold a stop text.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from reason.engine.jobs import Job, Started
from reason.engine.loading import context_length
from reason.engine.packed_linear import pack_linears
from reason.engine.prompt_cache import PromptCache
from reason.engine.request import (
    EngineError,
    Generated,
    GenerateRequest,
    cut_at_stop,
    decode_continuation,
    finished,
)
from reason.engine.rows import Rows
from reason.engine.sampling import draw, uniforms
from reason.engine.slots import CHUNK, Block, Slots, round_up
from reason.engine.stop_tables import END, MAYBE, StopTables
from reason.engine.weights import load_weights, read_weights

PREFILL_TOKENS = 1024  # of one prefill pass; a longer prompt has one of its own
ROWS_PER_THREAD = 4  # on a CPU, fewer rows of a product take another kernel, whose sums differ in the last bit
BLOCK = 32  # rows that are attended together on a CPU, see `Rows`


class Engine:
    """The engine of one model; its methods are for the event loop, those with an underscore for its thread."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        end_ids: set[int],
        max_samples: int,
        kv_bytes: int,
        cache_bytes: int = 0,
        share: bool = True,
        context: int | None = None,
    ) -> None:
        """`kv_bytes`: for keys and values of samples under way; `cache_bytes`: for those kept for later prompts.

        `share`: compute once what samples of a request have in common; the same samples come of it. `context`: tokens
        of prompt and sample, where they are to be fewer than the model's.
        """
        self.model, self.tokenizer, self.end_ids = model, tokenizer, end_ids
        self.max_samples, self.kv_bytes, self.share = max_samples, kv_bytes, share
        self.device = model.device
        pack_linears(model)
        self.multiple = ROWS_PER_THREAD * torch.get_num_threads() if model.device.type == "cpu" else 1
        self.slots = Slots(model.config.get_text_config(), model.dtype, model.device)
        number = round_up(max_samples, self.multiple)
        block = BLOCK if model.device.type == "cpu" else number  # a GPU waits for its longest row anyway
        self.rows = Rows(self.slots, number, block)
        self.cache = PromptCache(self.slots, cache_bytes)
        config = model.config.get_text_config()
        self.vocabulary = config.vocab_size
        self.context = min(context_length(config), context or config.max_position_embeddings)
        self.stops = StopTables(tokenizer, self.vocabulary, end_ids)
        self.inbox: deque[Job] = deque()
        self.changes: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self.wake = threading.Condition()
        self.closing = self.swept = False
        self.waiting: deque[Job] = deque()
        self.starting: list[Job] = []  # taken from `waiting`, not yet in `jobs`
        self.active = 0  # samples under way: the first ones of every array below
        self.jobs: list[tuple[Job, int]] = []  # job and index of the sample in it
        self.token = np.zeros(max_samples, np.int64)  # the last one drawn
        self.count = np.zeros(max_samples, np.int64)  # tokens generated
        self.limit = np.zeros(max_samples, np.int64)
        self.length = np.zeros(max_samples, np.int64)  # most tokens that its row can hold
        self.seed = np.zeros(max_samples, np.uint64)
        self.logprob = np.zeros(max_samples, np.float64)
        self.temperature = np.zeros(max_samples, np.float32)
        self.top_p = np.ones(max_samples, np.float32)
        self.top_k = np.zeros(max_samples, np.int64)
        self.table = np.zeros(max_samples, np.int64)  # its number in `stops`
        self.output = np.zeros((max_samples, 0), np.int64)
        self.thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.thread.start()

    async def generate(self, request: GenerateRequest) -> list[Generated]:
        """One sample for each seed. Raises EngineError; when cancelled, its samples end."""
        job = self._submit(request, None)
        try:
            results = await job.future
        finally:
            self._abort(job)
        samples = [finished(self.tokenizer, request, *result) for result in results]
        return [replace(sample, logprobs_of=job.told.get(i, ()), reused=job.reused) for i, sample in enumerate(samples)]

    async def stream(self, request: GenerateRequest) -> AsyncIterator[Generated]:
        """The only sample of a request as it grows; the last one is whole, the others have no finish reason."""
        queue: asyncio.Queue = asyncio.Queue()
        job = self._submit(request, queue)
        job.future.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (ids := await queue.get()) is not None:
                text = decode_continuation(self.tokenizer, request.prompt_ids, ids)
                yield Generated(text, ids, 0.0, "")
            yield replace(finished(self.tokenizer, request, *job.future.result()[0]), reused=job.reused)
        finally:
            self._abort(job)

    def details(self) -> dict[str, Any]:
        """See `LMEngine`."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        own = {"engine": "transformers", "context_length": self.context, "dtype": dtype}
        return own | {"version": transformers.__version__, "share_samples": self.share}

    async def push(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """See `LMEngine`. Where they are not the model's, nothing has changed."""
        given = dict(weights)
        await self.change(lambda: load_weights(self.model, given) if given else None)

    async def push_folder(self, folder: Path) -> None:
        """See `LMEngine`."""
        await self.push((await asyncio.to_thread(read_weights, folder)).items())

    async def change(self, act: Callable[[], None]) -> None:
        """Run what changes the model, between requests: those under way end before, those that come wait for it.

        What was computed by the model as it was is forgotten. Raises what `act` raises.
        """
        future: Future[None] = Future()
        with self.wake:
            self.changes.append((act, future))
            self.wake.notify()
        await asyncio.wrap_future(future)

    def close(self) -> None:
        """End the thread; requests under way fail."""
        with self.wake:
            self.closing = True
            self.wake.notify()
        self.thread.join(timeout=10)

    def _submit(self, request: GenerateRequest, watcher: asyncio.Queue | None) -> Job:
        loop = asyncio.get_running_loop()
        job = Job(request, loop, loop.create_future(), watcher)
        job.missing = len(request.seeds)
        job.results = [None] * job.missing
        with self.wake:
            self.inbox.append(job)
            self.wake.notify()
        return job

    def _abort(self, job: Job) -> None:
        if not job.aborted:
            job.aborted = self.swept = True

    # The thread.

    @torch.inference_mode()
    def _run(self) -> None:
        while True:
            with self.wake:
                while not (self.inbox or self.waiting or self.active or self.changes or self.closing):
                    self.wake.wait()
                self.waiting.extend(self.inbox)
                self.inbox.clear()
            try:
                if self.closing:
                    raise EngineError("Ending", "the engine is ending", True)
                self._sweep()
                self._admit()
                if self.active:
                    self._step()
                elif self.changes:
                    self._change(*self.changes.popleft())
            except Exception as error:
                for job in {*self.waiting, *self.starting, *(job for job, _ in self.jobs)}:
                    job.settle(error)
                self.waiting.clear()
                self.starting.clear()
                self.jobs.clear()
                self.active = 0
                self.rows.clear()
                self.cache.clear()  # the error may have come between entering tokens and their keys
                if self.closing:
                    for _, future in self.changes:
                        future.set_exception(error)
                    return

    def _change(self, act: Callable[[], None], future: Future[None]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        self.cache.clear()
        try:
            act()
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    def _sweep(self) -> None:
        """End the samples of requests that nobody waits for."""
        if not self.swept:
            return
        self.swept = False
        self.waiting = deque(job for job in self.waiting if not job.aborted)
        for sample in range(self.active - 1, -1, -1):
            if self.jobs[sample][0].aborted:
                self._drop(sample)

    def _admit(self) -> None:
        """Start waiting samples, first come first served, while memory lasts for a row of each."""
        picked: list[tuple[Job, int]] = []
        samples, longest = self.active, int(self.length[: self.active].max(initial=0))
        while self.waiting and samples < self.max_samples:
            job = self.waiting[0]
            if self.changes and not job.started:
                break
            longest = max(longest, job.length)
            fitting = self.kv_bytes // (self.slots.bytes_per_token * round_up(longest, CHUNK))
            room = min(max(fitting, 1), self.max_samples) - samples
            if room <= 0:
                break
            number = min(room, len(job.results) - job.started)
            picked.append((job, number))
            self.starting.append(job)
            samples += number
            job.started += number
            if job.started < len(job.results):
                break
            self.waiting.popleft()
        picked.sort(key=lambda pick: (-len(pick[0].request.prompt_ids), pick[0].distribution))  # long ones: see BLOCK
        alike = [list(group) for _, group in groupby(picked, lambda pick: pick[0].distribution)]
        started = [self._start(group) for group in (alike if self.share else [[pick] for pick in picked])]
        if started:
            self._prefill(started)
        self.starting.clear()

    def _prefill(self, started: Sequence[Started]) -> None:
        """Fill the new rows with their prompts, all but the last token: from the cache, the rest computed."""
        self.slots.reserve(self.rows.active, self.rows.longest() + 1)
        todo: list[Started] = []
        tokens = 0
        for one in started:
            one.known = self.cache.load(one.prompt, one.rows)
            if self.cache.trie.capacity and any(in_common(one.prompt, x.prompt) > one.known + CHUNK for x in todo):
                self._compute(todo)  # what this one can take over
                todo, tokens = [], 0
                one.known = self.cache.load(one.prompt, one.rows)
            for job in one.jobs:
                job.reused = one.known if job is one.jobs[0] else len(one.prompt)
            fresh = len(one.prompt) - one.known
            if fresh and todo and tokens + fresh > PREFILL_TOKENS:
                self._compute(todo)
                todo, tokens = [], 0
            if fresh:
                todo.append(one)
                tokens += fresh
        if todo:
            self._compute(todo)

    def _compute(self, prompts: Sequence[Started]) -> None:
        """Compute what is not known of some prompts, in one pass."""
        ids: list[int] = []
        rows: list[int] = []
        positions: list[int] = []
        blocks: list[Block] = []
        for one in prompts:
            first = one.known
            while first < len(one.prompt):
                end = min(len(one.prompt), round_up(first + 1, CHUNK))
                blocks.append(Block(len(ids), len(ids) + end - first, round_up(end, CHUNK), one.rows.start))
                ids += one.prompt[first:end]
                rows += [one.rows.start] * (end - first)
                positions += range(first, end)
                first = end
        padding = -len(ids) % self.multiple  # the last token again, which is written where it is
        blocks[-1] = blocks[-1]._replace(end=len(ids) + padding)
        arrays = (np.array(x + x[-1:] * padding) for x in (ids, rows, positions))
        self._forward(self.model.base_model, *arrays, blocks)
        for one in prompts:
            self.slots.copy(one.rows.start, slice(one.rows.start + 1, one.rows.stop), slice(one.known, len(one.prompt)))
            self.cache.store(one.prompt, one.rows.start)

    def _forward(
        self, model: torch.nn.Module, ids: np.ndarray, rows: np.ndarray, positions: np.ndarray, blocks: Sequence[Block]
    ) -> ModelOutput:
        """One pass of the model, or its body, over ids [tokens]; token i is written to rows[i] at positions[i]."""
        length = max(block.length for block in blocks)
        position = torch.from_numpy(positions).to(self.device)
        past = torch.arange(length, device=self.device) > position[:, None]
        mask = torch.zeros(past.shape, dtype=self.model.dtype, device=self.device).masked_fill_(past, -torch.inf)
        return model(
            input_ids=torch.from_numpy(ids).to(self.device)[:, None],
            position_ids=position[:, None],
            attention_mask=mask[:, None, None],
            past_key_values=self.slots.at(torch.from_numpy(rows).to(self.device), position, length),
            use_cache=True,
            blocks=blocks,
        )

    def _start(self, picked: Sequence[tuple[Job, int]]) -> Started:
        """Fill in the book-keeping of new samples of jobs of one distribution, and open their rows."""
        begin = self.active
        for job, number in picked:
            request, samples = job.request, slice(self.active, self.active + number)
            first = job.started - number
            self.jobs.extend((job, first + i) for i in range(number))
            self.seed[samples] = np.array(request.seeds[first : first + number], np.uint64)
            self.limit[samples], self.length[samples] = request.max_tokens, job.length
            self.count[samples] = self.logprob[samples] = 0
            self.temperature[samples], self.top_p[samples] = request.temperature, request.top_p
            self.top_k[samples] = request.top_k
            self.table[samples] = self.stops.number(request, idle=self.active == 0)
            self.active = samples.stop
        samples = slice(begin, self.active)
        *prompt, last = picked[0][0].request.prompt_ids
        parts = [samples] if self.share else [slice(i, i + 1) for i in range(samples.start, samples.stop)]
        rows = [self.rows.open(part, last, len(prompt)) for part in parts]
        new = [job for job, number in picked if job.started == number]
        return Started(new, slice(rows[0], rows[-1] + 1), prompt)

    def _step(self) -> None:
        """One token for every sample."""
        live, rows = slice(0, self.active), self.rows.active
        logits = self._forward(self.model, *self.rows.inputs(round_up(rows, self.multiple))).logits[:rows, -1]
        uniform = uniforms(self.seed[live], self.count[live].astype(np.uint64))
        row = self.rows.of[live]
        member = np.empty(rows, np.int64)  # a sample of each row: those of a row are sampled alike
        member[row] = np.arange(self.active)
        own = (self.temperature[member], self.top_p[member], self.top_k[member], uniform, row)
        tokens, logprobs = draw(logits.float(), *(torch.from_numpy(x).to(self.device) for x in own))
        self._tell_logprobs(logits)
        self._record(tokens.cpu().numpy(), logprobs.cpu().numpy())

    def _tell_logprobs(self, logits: torch.Tensor) -> None:
        """Note what samples at their first token were asked of logits [rows, vocabulary]."""
        first = np.flatnonzero(self.count[: self.active] == 0)
        for sample in (sample for sample in first if self.jobs[sample][0].request.logprobs_of):
            job, index = self.jobs[sample]
            own = logits[self.rows.of[sample]].float().log_softmax(-1)
            job.told[index] = tuple(own[list(job.request.logprobs_of)].tolist())

    def _record(self, tokens: np.ndarray, logprobs: np.ndarray) -> None:
        """Append the drawn tokens [samples] and settle the samples that are finished."""
        live = slice(0, self.active)
        if self.count[live].max() >= self.output.shape[1]:
            self.output = np.pad(self.output, ((0, 0), (0, max(64, self.output.shape[1]))))
        self.output[np.arange(self.active), self.count[live]] = tokens
        self.token[live] = tokens
        self.count[live] += 1
        self.logprob[live] += logprobs
        self.rows.written()
        meaning = self.stops.look_up(self.table[live], tokens)
        broken = ~np.isfinite(logprobs)
        ready = (meaning != 0) | (self.count[live] >= self.limit[live]) | broken
        for sample in np.flatnonzero(ready)[::-1]:  # from the last: the last one takes the number of one that ends
            job, index = self.jobs[sample]
            row = int(self.rows.of[sample])
            ids, stopped = self.output[sample, : self.count[sample]].tolist(), meaning[sample] == END
            if broken[sample]:
                message = "the model computed a number that is not finite (NaN or infinity)"
                job.settle(EngineError("NonFinite", message))
                self.slots.keys[:, row] = self.slots.values[:, row] = 0  # a NaN would survive under the mask
                self.swept = True
            elif meaning[sample] == MAYBE:
                text = decode_continuation(self.tokenizer, job.request.prompt_ids, ids)
                stopped = cut_at_stop(text, job.request.stop, True) is not None
                if not stopped and self.count[sample] < self.limit[sample]:
                    continue
            if not job.aborted:
                reason = "stop" if stopped else "length"
                job.results[index] = (ids, float(self.logprob[sample]), reason, bool(meaning[sample] == END))
                if job.request.continued:
                    self.cache.store(job.request.prompt_ids + ids[:-1], row)  # the last token was not computed
                job.missing -= 1
                if job.missing == 0:
                    job.settle()
            self._drop(sample)
        for sample in range(self.active):
            job, _ = self.jobs[sample]
            if job.watcher is not None:
                ids = self.output[sample, : self.count[sample]].tolist()
                job.tell(job.watcher.put_nowait, ids)
        self.rows.go_on(self.token[: self.active])

    def _drop(self, sample: int) -> None:
        """End a sample; the last one takes its number."""
        last = self.active - 1
        for array in (
            self.token, self.count, self.limit, self.length, self.seed, self.logprob, self.temperature, self.top_p,
            self.top_k, self.table, self.output,
        ):  # fmt: skip
            array[sample] = array[last]
        self.jobs[sample] = self.jobs[last]
        self.jobs.pop()
        self.active = last
        self.rows.leave(sample, last)


def in_common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two prompts begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
