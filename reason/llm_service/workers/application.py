"""The HTTP application of a worker: routes, replies, typed errors."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastchat.constants import ErrorCode

from reason.engine.request import EngineError
from reason.llm_service.workers.base_worker import Params, Worker

logger = logging.getLogger("worker")
CODES = {  # FastChat's, by the type of an error; all others are of what was sent
    "OutOfRange": ErrorCode.PARAM_OUT_OF_RANGE,
    "ContextOverflow": ErrorCode.CONTEXT_OVERFLOW,
    "OutOfMemory": ErrorCode.CUDA_OUT_OF_MEMORY,
    **dict.fromkeys(("InternalError", "NonFinite", "ScoreError", "Ending", "Disconnected"), ErrorCode.INTERNAL_ERROR),
}


def error_reply(error: BaseException) -> dict[str, Any]:
    """The typed reply for a failure; anything that is not an EngineError is logged with its traceback."""
    if not isinstance(error, EngineError):
        logger.error("a request failed", exc_info=error)
        if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
            error = EngineError("OutOfMemory", f"out of memory: {error}", True)
        else:
            error = EngineError("InternalError", f"{type(error).__name__}: {error}", True)
    typed = {"type": error.type, "message": str(error), "retryable": error.retryable}
    code = CODES.get(error.type, ErrorCode.VALIDATION_TYPE_ERROR)
    return {"error_code": int(code), "text": str(error), "error": typed}


def encode(reply: dict[str, Any]) -> bytes:
    """JSON of a reply; one that holds NaN or infinity becomes a typed error."""
    try:
        return json.dumps(reply, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        message = "the model computed a number that is not finite (NaN or infinity)"
        return encode(error_reply(EngineError("NonFinite", message)))


async def read_params(request: Request) -> Params:
    """The JSON object of a request. Raises EngineError."""
    try:
        params = json.loads(await request.body())
    except (ValueError, RecursionError) as error:  # RecursionError: lists nested thousands deep
        raise EngineError("BadRequest", f"the request's body is not JSON: {error}") from None
    if not isinstance(params, dict):
        raise EngineError("BadRequest", "the request's body is not a JSON object")
    return params


async def unless_disconnected(request: Request, work: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """Await `work`, but cancel it when the client hangs up: nobody waits for its tokens any more."""

    async def hang_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(hang_up())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise EngineError("Disconnected", "the client hung up", True)
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


def application(worker: Worker) -> FastAPI:
    """The HTTP application of one worker. Every failure is HTTP 200 with a typed error."""

    async def answer(request: Request, call: Callable[[Params], Awaitable[dict[str, Any]]]) -> Response:
        try:
            params = await read_params(request)
            worker.call_ct += 1
            async with worker.semaphore:
                reply = {**await unless_disconnected(request, call(params)), "error_code": 0}
        except Exception as error:
            reply = error_reply(error)
        return Response(encode(reply), media_type="application/json")

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            worker.stopping.set()
            await worker.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.post("/worker_generate")
    async def generate(request: Request) -> Response:
        return await answer(request, worker.generate)

    @app.post("/worker_value_inference")
    async def value_inference(request: Request) -> Response:
        return await answer(request, worker.value_inference)

    @app.post("/worker_update_weights")
    async def update_weights(request: Request) -> Response:
        return await answer(request, worker.update_weights)

    @app.post("/worker_generate_stream")
    async def generate_stream(request: Request) -> Response:
        try:
            params = await read_params(request)  # here: a response that streams reads the request no more
        except EngineError as error:
            return Response(encode(error_reply(error)) + b"\0")

        async def chunks() -> AsyncIterator[bytes]:
            try:
                worker.call_ct += 1
                async with worker.semaphore, contextlib.aclosing(worker.stream(params)) as stream:
                    async for chunk in stream:
                        yield encode({**chunk, "error_code": 0}) + b"\0"
            except Exception as error:
                yield encode(error_reply(error)) + b"\0"

        return StreamingResponse(chunks())

    @app.post("/count_token")
    async def count_token(request: Request) -> Response:
        try:
            prompt = (await read_params(request)).get("prompt")
            if not isinstance(prompt, str):
                raise EngineError("BadRequest", "count_token needs a `prompt`")
            reply = {"count": worker.count_tokens(prompt), "error_code": 0}
        except Exception as error:
            reply = error_reply(error)
        return Response(encode(reply), media_type="application/json")

    @app.post("/worker_get_status")
    async def status() -> Response:
        return JSONResponse(worker.get_status())

    @app.post("/worker_get_conv_template")
    async def conv_template() -> Response:
        return JSONResponse({"conv": dataclasses.asdict(worker.conv)})

    @app.post("/model_details")
    async def model_details() -> Response:
        return JSONResponse(worker.model_details())

    return app
