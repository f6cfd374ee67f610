"""Continuous batching over a transformers model: one thread, one row a sample, one token a row and forward pass.

A request's prompt is prefilled once, all but its last token; its samples start as copies of that row, with the last
prompt token as their first input. Finished rows make room for waiting samples after every pass. Book-keeping is one
array operation for all rows, so Python runs per sample only when a sample starts, ends or may hold a stop text.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from fastchat.constants import ErrorCode
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from reason.llm_service.workers.base_worker import WorkerError
from reason.llm_service.workers.generation import Generated, GenerateRequest, cut_at_stop, decode_continuation, finished
from reason.llm_service.workers.packed_linear import pack_linears
from reason.llm_service.workers.sampling import draw, uniforms
from reason.llm_service.workers.slots import CHUNK, Slots, round_up

PREFILL_TOKENS = 4096  # of one prefill pass, padding included
ROWS_PER_THREAD = 4  # on a CPU, fewer rows of a product take another kernel, whose sums differ in the last bit
BLOCK = 32  # neighbouring rows that are attended together, up to the longest of them; the longest rows come first
PREFILL_MULTIPLE = 16  # prompts are padded to it: fewer shapes, and never a single token
END, MAYBE = 1, 2  # what a sampled token may mean: the sample ends; a stop text may be complete
MAX_STOP_TABLES = 64


@dataclass(eq=False)
class Job:
    """A request under way."""

    request: GenerateRequest
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future  # set to [(token ids, logprob, finish reason, whether by an end token), ...]
    watcher: asyncio.Queue | None = None  # gets the token ids so far after every pass
    aborted: bool = False
    started: int = 0  # samples that have a row or are finished
    results: list = field(default_factory=list)
    missing: int = 0

    @property
    def length(self) -> int:
        """Most tokens that a row of it can hold."""
        return len(self.request.prompt_ids) + self.request.max_tokens

    def settle(self, error: Exception | None = None) -> None:
        """Hand the results, or the error, to the event loop."""

        def deliver() -> None:
            if not self.future.done():
                self.future.set_exception(error) if error else self.future.set_result(self.results)

        self.aborted = True  # nothing more is due
        self.tell(deliver)

    def tell(self, call: Callable[..., None], *arguments: object) -> None:
        """Run a call in the event loop that waits for this job."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(call, *arguments)


class Engine:
    """The engine of one model; its methods are for the event loop, those with an underscore for its thread."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        end_ids: set[int],
        max_rows: int,
        kv_bytes: int,
    ) -> None:
        self.model, self.tokenizer, self.end_ids = model, tokenizer, end_ids
        self.max_rows, self.kv_bytes = max_rows, kv_bytes
        self.device = model.device
        pack_linears(model)
        self.block = BLOCK if model.device.type == "cpu" else max_rows  # a GPU waits for its longest row anyway
        self.multiple = ROWS_PER_THREAD * torch.get_num_threads() if model.device.type == "cpu" else 1
        self.slots = Slots(model.config.get_text_config(), model.dtype, model.device)
        self.vocabulary = model.config.get_text_config().vocab_size
        self.inbox: deque[Job] = deque()
        self.wake = threading.Condition()
        self.closing = self.swept = False
        self.waiting: deque[Job] = deque()
        self.active = 0  # rows in use: the first ones of every array below
        self.jobs: list[tuple[Job, int]] = []  # job and index of its sample, a row
        rows = round_up(max_rows, self.multiple)
        self.token = np.zeros(rows, np.int64)  # the next input
        self.position = np.zeros(rows, np.int64)  # where it is written
        self.count = np.zeros(rows, np.int64)  # tokens generated
        self.limit = np.zeros(rows, np.int64)
        self.length = np.zeros(rows, np.int64)  # most tokens that the row can hold
        self.seed = np.zeros(rows, np.uint64)
        self.logprob = np.zeros(rows, np.float64)
        self.temperature = np.zeros(rows, np.float32)
        self.top_p = np.ones(rows, np.float32)
        self.top_k = np.zeros(rows, np.int64)
        self.table = np.zeros(rows, np.int64)  # row of `meanings`
        self.output = np.zeros((rows, 0), np.int64)
        self.meanings = np.zeros((0, self.vocabulary), np.uint8)
        self.tables: dict[tuple, int] = {}
        self.pieces: list[str] | None = None
        self.thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.thread.start()

    async def generate(self, request: GenerateRequest) -> list[Generated]:
        """One sample for each seed. Raises WorkerError; when cancelled, its rows are freed."""
        job = self._submit(request, None)
        try:
            results = await job.future
        finally:
            self._abort(job)
        return [finished(self.tokenizer, request, *result) for result in results]

    async def stream(self, request: GenerateRequest) -> AsyncIterator[Generated]:
        """The only sample of a request as it grows; the last one is whole, the others have no finish reason."""
        queue: asyncio.Queue = asyncio.Queue()
        job = self._submit(request, queue)
        job.future.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (ids := await queue.get()) is not None:
                text = decode_continuation(self.tokenizer, request.prompt_ids, ids)
                yield Generated(text, ids, 0.0, "")
            yield finished(self.tokenizer, request, *job.future.result()[0])
        finally:
            self._abort(job)

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
                while not (self.inbox or self.waiting or self.active or self.closing):
                    self.wake.wait()
                self.waiting.extend(self.inbox)
                self.inbox.clear()
            try:
                if self.closing:
                    raise WorkerError("the worker is ending", "Ending", ErrorCode.INTERNAL_ERROR, True)
                self._sweep()
                self._admit()
                if self.active:
                    self._step()
            except Exception as error:
                for job in {*self.waiting, *(job for job, _ in self.jobs)}:
                    job.settle(error)
                self.waiting.clear()
                self.jobs.clear()
                self.active = 0
                self.slots.clear()
                if self.closing:
                    return

    def _sweep(self) -> None:
        """Free the rows of requests that nobody waits for."""
        if not self.swept:
            return
        self.swept = False
        self.waiting = deque(job for job in self.waiting if not job.aborted)
        for row in range(self.active - 1, -1, -1):
            if self.jobs[row][0].aborted:
                self._free(row)

    def _admit(self) -> None:
        """Start waiting samples, first come first served, while rows and memory last."""
        picked: list[tuple[Job, int]] = []
        rows, longest = self.active, int(self.length[: self.active].max(initial=0))
        while self.waiting and rows < self.max_rows:
            job = self.waiting[0]
            longest = max(longest, job.length)
            fitting = self.kv_bytes // (self.slots.bytes_per_token * round_up(longest, CHUNK))
            room = min(max(fitting, 1), self.max_rows) - rows
            if room <= 0:
                break
            number = min(room, len(job.results) - job.started)
            picked.append((job, number))
            rows += number
            job.started += number
            if job.started < len(job.results):
                break
            self.waiting.popleft()
        picked.sort(key=lambda pick: len(pick[0].request.prompt_ids))
        while picked:
            size = len(picked)
            while size > 1 and size * len(picked[size - 1][0].request.prompt_ids) > PREFILL_TOKENS:
                size -= 1
            self._prefill(picked[:size])
            picked = picked[size:]

    def _prefill(self, picked: list[tuple[Job, int]]) -> None:
        """Compute the prompts, right-padded, and give each its number of rows."""
        prompts = [job.request.prompt_ids[:-1] for job, _ in picked]
        longest = max(map(len, prompts))
        prefilled = DynamicCache()
        if longest:
            ids = np.zeros((len(prompts), round_up(longest, max(self.multiple, PREFILL_MULTIPLE))), np.int64)
            for row, prompt in enumerate(prompts):
                ids[row, : len(prompt)] = prompt
            positions = torch.arange(ids.shape[1], device=self.device)[None].expand(len(ids), -1)
            self.model(
                input_ids=torch.from_numpy(ids).to(self.device), position_ids=positions, past_key_values=prefilled,
                use_cache=True, logits_to_keep=1,
            )  # fmt: skip
        self.slots.reserve(self.active + sum(number for _, number in picked), longest + 1)
        for index, (job, number) in enumerate(picked):
            rows = slice(self.active, self.active + number)
            self.slots.fill(rows, prefilled, index, len(prompts[index]))
            self._start(job, rows)

    def _start(self, job: Job, rows: slice) -> None:
        """Fill in the book-keeping of new rows of a job."""
        request, number = job.request, rows.stop - rows.start
        first = job.started - number
        self.jobs.extend((job, first + i) for i in range(number))
        self.seed[rows] = np.array(request.seeds[first : first + number], np.uint64)
        self.token[rows] = request.prompt_ids[-1]
        self.position[rows] = len(request.prompt_ids) - 1
        self.limit[rows], self.length[rows] = request.max_tokens, job.length
        self.count[rows] = self.logprob[rows] = 0
        self.temperature[rows], self.top_p[rows] = request.temperature, request.top_p
        self.top_k[rows] = request.top_k
        self.table[rows] = self._meanings(request)
        self.active = rows.stop

    def _meanings(self, request: GenerateRequest) -> int:
        """The row of `meanings` for the stop texts and tokens of a request."""
        key = (request.stop, request.stop_token_ids, request.ignore_eos)
        if key not in self.tables:
            if len(self.tables) >= MAX_STOP_TABLES and self.active == 0:
                self.tables.clear()
                self.meanings = self.meanings[:0]
            meaning = np.zeros((1, self.vocabulary), np.uint8)
            if request.stop:
                meaning[0, self._completing(request.stop)] = MAYBE
            end_ids = set() if request.ignore_eos else self.end_ids
            ends = [i for i in end_ids | set(request.stop_token_ids) if 0 <= i < self.vocabulary]
            meaning[0, ends] = END
            self.tables[key] = len(self.meanings)
            self.meanings = np.concatenate([self.meanings, meaning])
        return self.tables[key]

    def _completing(self, stop: tuple[str, ...]) -> list[int]:
        """Tokens whose text has the last character of a stop text: only behind these is a text looked at."""
        if self.pieces is None:  # twice each: the first token of a text may lose its leading space
            pairs = [[i, i] for i in range(min(len(self.tokenizer), self.vocabulary))]
            self.pieces = self.tokenizer.batch_decode(pairs, clean_up_tokenization_spaces=False)
        last = {text[-1] for text in stop}
        if any(char > "\x7f" for char in last):
            last.add("\ufffd")  # a part of a character
        return [i for i, piece in enumerate(self.pieces) if not last.isdisjoint(piece)]

    def _step(self) -> None:
        """One token for every row."""
        active = self.active
        rows = round_up(active, self.multiple)  # the further ones compute nothing that anybody reads
        self.position[active:rows] = self.token[active:rows] = 0
        longest = int(self.position[:active].max()) + 1
        self.slots.reserve(rows, longest)
        position = torch.from_numpy(self.position[:rows]).to(self.device)
        past = torch.arange(round_up(longest, CHUNK), device=self.device) > position[:, None]
        mask = torch.zeros(past.shape, dtype=self.model.dtype, device=self.device).masked_fill_(past, -torch.inf)
        logits = self.model(
            input_ids=torch.from_numpy(self.token[:rows]).to(self.device)[:, None],
            position_ids=position[:, None],
            attention_mask=mask[:, None, None],
            past_key_values=self.slots.at(position, past.shape[1]),
            use_cache=True,
            blocks=self._blocks(rows),
        ).logits[:active, -1]
        uniform = uniforms(self.seed[:active], self.count[:active].astype(np.uint64))
        sampling = (torch.from_numpy(x[:active]).to(self.device) for x in (self.temperature, self.top_p, self.top_k))
        tokens, logprobs = draw(logits.float(), *sampling, torch.from_numpy(uniform).to(self.device))
        self._record(tokens.cpu().numpy(), logprobs.cpu().numpy())

    def _blocks(self, rows: int) -> list[tuple[int, int, int]]:
        """First row, end and length of the blocks of the first `rows` rows."""
        ends = [(first, min(first + self.block, rows)) for first in range(0, rows, self.block)]
        return [(first, end, round_up(int(self.position[first:end].max()) + 1, CHUNK)) for first, end in ends]

    def _record(self, tokens: np.ndarray, logprobs: np.ndarray) -> None:
        """Append the drawn tokens and settle the samples that are finished."""
        live = slice(0, self.active)
        if self.count[live].max() >= self.output.shape[1]:
            self.output = np.pad(self.output, ((0, 0), (0, max(64, self.output.shape[1]))))
        self.output[np.arange(self.active), self.count[live]] = tokens
        self.token[live] = tokens
        self.position[live] += 1
        self.count[live] += 1
        self.logprob[live] += logprobs
        meaning = self.meanings[self.table[live], tokens]
        broken = ~np.isfinite(logprobs)
        ready = (meaning != 0) | (self.count[live] >= self.limit[live]) | broken
        for row in np.flatnonzero(ready)[::-1]:  # from the last: a freed row is replaced by the last one
            job, index = self.jobs[row]
            ids, stopped = self.output[row, : self.count[row]].tolist(), meaning[row] == END
            if broken[row]:
                message = "the model computed a number that is not finite (NaN or infinity)"
                job.settle(WorkerError(message, "NonFinite", ErrorCode.INTERNAL_ERROR))
                self.slots.keys[:, row] = self.slots.values[:, row] = 0  # a NaN would survive under the mask
                self.swept = True
            elif meaning[row] == MAYBE:
                text = decode_continuation(self.tokenizer, job.request.prompt_ids, ids)
                stopped = cut_at_stop(text, job.request.stop, True) is not None
                if not stopped and self.count[row] < self.limit[row]:
                    continue
            if not job.aborted:
                reason = "stop" if stopped else "length"
                job.results[index] = (ids, float(self.logprob[row]), reason, bool(meaning[row] == END))
                job.missing -= 1
                if job.missing == 0:
                    job.settle()
            self._free(row)
        for row in range(self.active):
            job, _ = self.jobs[row]
            if job.watcher is not None:
                ids = self.output[row, : self.count[row]].tolist()
                job.tell(job.watcher.put_nowait, ids)

    def _free(self, row: int) -> None:
        """Give up a row: the longest row of the next block takes its place, and so on; the last row goes last."""
        last = self.active - 1
        while (behind := (row // self.block + 1) * self.block) <= last:
            longest = behind + int(self.position[behind : min(behind + self.block, self.active)].argmax())
            self._move(longest, row)
            row = longest
        if row != last:
            self._move(last, row)
        self.jobs.pop()
        self.active = last

    def _move(self, source: int, target: int) -> None:
        """Let a row go on in another one."""
        self.slots.move(source, target, int(self.position[source]))
        for array in (
            self.token, self.position, self.count, self.limit, self.length, self.seed, self.logprob,
            self.temperature, self.top_p, self.top_k, self.table, self.output,
        ):  # fmt: skip
            array[target] = array[source]
        self.jobs[target] = self.jobs[source]
