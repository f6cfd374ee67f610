"""Continuous batching over a transformers model: one thread, one row a sample, one token a row and forward pass.

Of a request's prompt, all but the last token, what the cache does not know is computed once; its samples start as
copies of that row, with the last prompt token as their first input. Finished rows make room for waiting samples after
every pass, and what they computed goes into the cache. Book-keeping is one array operation for all rows, so Python
runs per sample only when a sample starts, ends or may hold a stop text.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from fastchat.constants import ErrorCode
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from reason.llm_service.workers.base_worker import WorkerError
from reason.llm_service.workers.generation import Generated, GenerateRequest, cut_at_stop, decode_continuation, finished
from reason.llm_service.workers.jobs import Job, Started
from reason.llm_service.workers.packed_linear import pack_linears
from reason.llm_service.workers.prompt_cache import PromptCache
from reason.llm_service.workers.sampling import draw, uniforms
from reason.llm_service.workers.slots import CHUNK, Block, Slots, round_up

PREFILL_TOKENS = 1024  # of one prefill pass; a longer prompt has one of its own
ROWS_PER_THREAD = 4  # on a CPU, fewer rows of a product take another kernel, whose sums differ in the last bit
BLOCK = 32  # neighbouring rows that are attended together, up to the longest of them; the longest rows come first
END, MAYBE = 1, 2  # what a sampled token may mean: the sample ends; a stop text may be complete
MAX_STOP_TABLES = 64


class Engine:
    """The engine of one model; its methods are for the event loop, those with an underscore for its thread."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        end_ids: set[int],
        max_rows: int,
        kv_bytes: int,
        cache_bytes: int = 0,
    ) -> None:
        """`kv_bytes`: for keys and values of samples under way; `cache_bytes`: for those kept for later prompts."""
        self.model, self.tokenizer, self.end_ids = model, tokenizer, end_ids
        self.max_rows, self.kv_bytes = max_rows, kv_bytes
        self.device = model.device
        pack_linears(model)
        self.block = BLOCK if model.device.type == "cpu" else max_rows  # a GPU waits for its longest row anyway
        self.multiple = ROWS_PER_THREAD * torch.get_num_threads() if model.device.type == "cpu" else 1
        self.slots = Slots(model.config.get_text_config(), model.dtype, model.device)
        self.cache = PromptCache(self.slots, cache_bytes)
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
                self.cache.clear()  # the error may have come between entering tokens and their keys
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
        picked.sort(key=lambda pick: -len(pick[0].request.prompt_ids))  # see BLOCK
        started = [self._start(job, slice(self.active, self.active + number)) for job, number in picked]
        if started:
            self._prefill(started)

    def _prefill(self, started: Sequence[Started]) -> None:
        """Fill the new rows with their prompts, all but the last token: from the cache, the rest computed."""
        self.slots.reserve(self.active, int(self.position[: self.active].max()) + 1)
        todo: list[Started] = []
        tokens = 0
        for one in started:
            one.known = self.cache.load(one.prompt, one.rows)
            if one.first:
                one.job.reused = one.known
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

    def _start(self, job: Job, rows: slice) -> Started:
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
        return Started(job, rows, request.prompt_ids[:-1], first == 0)

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
        self.slots.reserve(rows, int(self.position[:active].max()) + 1)
        inputs = self.token[:rows], np.arange(rows), self.position[:rows]
        logits = self._forward(self.model, *inputs, self._blocks(rows)).logits[:active, -1]
        uniform = uniforms(self.seed[:active], self.count[:active].astype(np.uint64))
        sampling = (torch.from_numpy(x[:active]).to(self.device) for x in (self.temperature, self.top_p, self.top_k))
        tokens, logprobs = draw(logits.float(), *sampling, torch.from_numpy(uniform).to(self.device))
        self._tell_logprobs(logits)
        self._record(tokens.cpu().numpy(), logprobs.cpu().numpy())

    def _tell_logprobs(self, logits: torch.Tensor) -> None:
        """Note what rows at their first token were asked of logits [active, vocabulary]."""
        first = np.flatnonzero(self.count[: self.active] == 0)
        for row in (row for row in first if self.jobs[row][0].request.logprobs_of):
            job, index = self.jobs[row]
            job.told[index] = tuple(logits[row].float().log_softmax(-1)[list(job.request.logprobs_of)].tolist())

    def _blocks(self, rows: int) -> list[Block]:
        """The blocks of the first `rows` rows, a token each."""
        ends = [(first, min(first + self.block, rows)) for first in range(0, rows, self.block)]
        return [Block(first, end, round_up(int(self.position[first:end].max()) + 1, CHUNK)) for first, end in ends]

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
                self.cache.store(job.request.prompt_ids + ids[:-1], row)  # the last token was not computed
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
        self.slots.copy(source, slice(target, target + 1), slice(0, int(self.position[source])))
        for array in (
            self.token, self.position, self.count, self.limit, self.length, self.seed, self.logprob,
            self.temperature, self.top_p, self.top_k, self.table, self.output,
        ):  # fmt: skip
            array[target] = array[source]
        self.jobs[target] = self.jobs[source]
