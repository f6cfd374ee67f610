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

from reason.engine.jobs import Job
from reason.engine.loading import context_length
from reason.engine.packed_linear import pack_linears
from reason.engine.prefill import PREFILL_TOKENS, NewRows, in_common, prefill_pass
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
from reason.engine.samples import Samples
from reason.engine.sampling import draw, uniforms
from reason.engine.slots import CHUNK, Block, Slots, round_up
from reason.engine.stop_tables import END, MAYBE, StopTables
from reason.engine.weights import load_weights, read_weights

ROWS_PER_THREAD = 4  # on a CPU, fewer rows of a product take another kernel, whose sums differ in the last bit
BLOCK = 32  # rows that are attended together on a CPU, see `Rows`


class Engine:
    """The engine of one model; its methods are for the event loop, those with an underscore for its thread."""

    shares = True  # samples of a prompt share a row until they part

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        end_ids: set[int],
        max_samples: int,
        kv_bytes: int,
        cache_bytes: int = 0,
        context: int | None = None,
    ) -> None:
        """`kv_bytes`: for keys and values of samples under way; `cache_bytes`: for those kept for later prompts.

        `context`: tokens of prompt and sample, where they are to be fewer than the model's.
        """
        self.model, self.tokenizer, self.end_ids = model, tokenizer, end_ids
        self.kv_bytes = kv_bytes
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
        self.starting: list[Job] = []  # taken from `waiting`, not yet among the samples
        self.samples = Samples(max_samples)
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
        return own | {"version": transformers.__version__, "share_samples": self.shares}

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
                while not (self.inbox or self.waiting or self.samples.active or self.changes or self.closing):
                    self.wake.wait()
                self.waiting.extend(self.inbox)
                self.inbox.clear()
            try:
                if self.closing:
                    raise EngineError("Ending", "the engine is ending", True)
                self._sweep()
                self._admit()
                if self.samples.active:
                    self._step()
                elif self.changes:
                    self._change(*self.changes.popleft())
            except Exception as error:
                self._fail(error)
                if self.closing:
                    for _, future in self.changes:
                        future.set_exception(error)
                    return

    def _fail(self, error: Exception) -> None:
        """End all requests with an error: nothing tells which of them it is of."""
        for job in {*self.waiting, *self.starting, *(job for job, _ in self.samples.jobs)}:
            job.settle(error)
        self.waiting.clear()
        self.starting.clear()
        self.samples.clear()
        self.rows.clear()
        self.cache.clear()  # the error may have come between entering tokens and their keys

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
        for sample in range(self.samples.active - 1, -1, -1):
            if self.samples.jobs[sample][0].aborted:
                self._drop(sample)

    def _admit(self) -> None:
        """Start waiting samples, first come first served, while memory lasts for a row of each."""
        picked = self._picked()
        picked.sort(key=lambda pick: (-len(pick[0].request.prompt_ids), pick[0].distribution))  # long ones: see BLOCK
        started = [self._start(list(alike)) for _, alike in groupby(picked, lambda pick: pick[0].distribution)]
        if started:
            self._prefill(started)
        self.starting.clear()

    def _picked(self) -> list[tuple[Job, int]]:
        """Jobs off the queue, each with the number of its samples that there is room for."""
        picked: list[tuple[Job, int]] = []
        samples, longest = self.samples.active, int(self.samples.live["length"].max(initial=0))
        while self.waiting and samples < self.samples.capacity:
            job = self.waiting[0]
            if self.changes and not job.started:
                break
            longest = max(longest, job.length)
            fitting = self.kv_bytes // (self.slots.bytes_per_token * round_up(longest, CHUNK))
            room = min(max(fitting, 1), self.samples.capacity) - samples
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
        return picked

    def _start(self, picked: list[tuple[Job, int]]) -> NewRows:
        """New samples of jobs of one distribution, and their rows."""
        begin = self.samples.active
        for job, number in picked:
            table = self.stops.number(job.request, idle=self.samples.active == 0)
            self.samples.add(job, number, table)
        *prompt, last = picked[0][0].request.prompt_ids
        parts = self._parts(slice(begin, self.samples.active))
        rows = [self.rows.open(part, last, len(prompt)) for part in parts]
        new = [job for job, number in picked if job.started == number]
        return NewRows(new, slice(rows[0], rows[-1] + 1), prompt)

    def _parts(self, samples: slice) -> list[slice]:
        """Which of new samples of one distribution share a row: all."""
        return [samples]

    def _prefill(self, started: Sequence[NewRows]) -> None:
        """Fill the new rows with their prompts, all but the last token: from the cache, the rest computed."""
        self.slots.reserve(self.rows.active, self.rows.longest() + 1)
        todo: list[NewRows] = []
        for new in started:
            new.known = self.cache.load(new.prompt, new.rows)
            if self.cache.trie.capacity and any(in_common(new.prompt, x.prompt) > new.known + CHUNK for x in todo):
                self._compute(todo)  # what this one can take over
                todo = []
                new.known = self.cache.load(new.prompt, new.rows)
            for job in new.jobs:
                job.reused = new.known if job is new.jobs[0] else len(new.prompt)
            if new.fresh and todo and sum(one.fresh for one in todo) + new.fresh > PREFILL_TOKENS:
                self._compute(todo)
                todo = []
            if new.fresh:
                todo.append(new)
        if todo:
            self._compute(todo)

    def _compute(self, prompts: Sequence[NewRows]) -> None:
        """Compute what is not known of some prompts, in one pass."""
        self._forward(self.model.base_model, *prefill_pass(prompts, self.multiple))
        for new in prompts:
            self.slots.copy(new.rows.start, slice(new.rows.start + 1, new.rows.stop), slice(new.known, len(new.prompt)))
            self.cache.store(new.prompt, new.rows.start)

    def _forward(
        self, model: torch.nn.Module, ids: np.ndarray, rows: np.ndarray, positions: np.ndarray, blocks: Sequence[Block]
    ) -> Any:
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

    def _step(self) -> None:
        """One token for every sample."""
        live, rows = self.samples.live, self.rows.active
        logits = self._forward(self.model, *self.rows.inputs(round_up(rows, self.multiple))).logits[:rows, -1]
        row = self.rows.of[: len(live)]
        member = np.empty(rows, np.int64)  # a sample of each row: those of a row are sampled alike
        member[row] = np.arange(len(live))
        own = live[member]
        arrays = (own["temperature"], own["top_p"], own["top_k"], uniforms(live["seed"], live["count"]), row)
        drawn = draw(logits.float(), *(torch.tensor(array, device=self.device) for array in arrays))
        self._tell_logprobs(logits)
        tokens, logprobs = (tensor.cpu().numpy() for tensor in drawn)
        self.samples.append(tokens, logprobs)
        self.rows.written()
        going_on = self._end_samples(tokens, np.isfinite(logprobs))
        self._tell_streams()
        self.rows.go_on(going_on)

    def _tell_logprobs(self, logits: torch.Tensor) -> None:
        """Note what samples at their first token were asked of logits [rows, vocabulary]."""
        for sample in np.flatnonzero(self.samples.live["count"] == 0):
            job, index = self.samples.jobs[sample]
            if job.request.logprobs_of:
                own = logits[self.rows.of[sample]].float().log_softmax(-1)
                job.told[index] = tuple(own[list(job.request.logprobs_of)].tolist())

    def _end_samples(self, tokens: np.ndarray, finite: np.ndarray) -> np.ndarray:
        """End the samples that are finished by their last tokens [samples]; returns those of the others."""
        live = self.samples.live
        meaning = self.stops.look_up(live["table"], tokens)
        ready = (meaning != 0) | (live["count"] >= live["limit"]) | ~finite
        for sample in np.flatnonzero(ready)[::-1]:  # from the last: the last one takes the number of one that ends
            job, _ = self.samples.jobs[sample]
            if not finite[sample]:
                self._break(sample)
            elif (reason := self._reason(sample, meaning[sample])) is None:
                continue
            elif not job.aborted:
                self._finish(sample, reason, bool(meaning[sample] == END))
            tokens[sample] = tokens[self._drop(sample)]
        return tokens[: self.samples.active]

    def _reason(self, sample: int, meaning: int) -> str | None:
        """Why the sample ends here: "stop" or "length"; None where it goes on."""
        job, _ = self.samples.jobs[sample]
        if meaning == END:
            return "stop"
        if meaning == MAYBE:
            text = decode_continuation(self.tokenizer, job.request.prompt_ids, self.samples.ids(sample))
            if cut_at_stop(text, job.request.stop, True) is not None:
                return "stop"
        record = self.samples.records[sample]
        return "length" if record["count"] >= record["limit"] else None

    def _finish(self, sample: int, reason: str, by_token: bool) -> None:
        """Note what came of a sample, and hand in its job where it was the last one missing."""
        job, index = self.samples.jobs[sample]
        ids = self.samples.ids(sample)
        job.results[index] = (ids, float(self.samples.records["logprob"][sample]), reason, by_token)
        if job.request.continued:  # the last token was not computed
            self.cache.store(job.request.prompt_ids + ids[:-1], int(self.rows.of[sample]))
        job.missing -= 1
        if job.missing == 0:
            job.settle()

    def _break(self, sample: int) -> None:
        """Fail the job of a sample whose logits are no numbers."""
        job, _ = self.samples.jobs[sample]
        job.settle(EngineError("NonFinite", "the model computed a number that is not finite (NaN or infinity)"))
        row = int(self.rows.of[sample])
        self.slots.keys[:, row] = self.slots.values[:, row] = 0  # a NaN would survive under the mask
        self.swept = True

    def _tell_streams(self) -> None:
        for sample, (job, _) in enumerate(self.samples.jobs):
            if job.watcher is not None:
                job.tell(job.watcher.put_nowait, self.samples.ids(sample))

    def _drop(self, sample: int) -> int:
        """End a sample; the last one, whose number is returned, takes its number."""
        last = self.samples.drop(sample)
        self.rows.leave(sample, last)
        return last


class ApartEngine(Engine):
    """Computes each sample in a row of its own, for measurements; the samples are the same."""

    shares = False

    def _parts(self, samples: slice) -> list[slice]:
        return [slice(i, i + 1) for i in range(samples.start, samples.stop)]
