"""The reward worker, over its wire."""

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
import time

import httpx
import pytest

from prm.scoring.batcher import Batcher
from prm.scoring.scorer import Scorer
from reason.common.errors import UserError
from reason.inference.local import LocalRM
from reason.llm_service.workers import reward_model_worker
from reason.llm_service.workers.application import application
from tests.fakes import ROOT, fastchat_controller, free_port, post
from tests.prm.tiny import CARD, changed, save_prm, some_inputs, write_card

QUESTION = "23 + 9 * 3"
STEPS = ["9 * 3 = 27; 23 + 27\n", "23 + 27 = 50"]
TEXT = "23 + 9 * 3\n9 * 3 = 27; 23 + 27<|step|>\n23 + 27 = 50<|step|>\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_prm(tmp_path_factory.mktemp("models") / "tiny-prm")


@pytest.fixture(scope="module")
def scorer(folder):
    return Scorer.load(str(folder), CARD, device="cpu")


@pytest.fixture
def client(folder, scorer):
    """A client of a worker in this process."""
    args = reward_model_worker.arguments().parse_args(["--model-path", str(folder), "--device", "cpu"])
    args.worker_address = "http://here"
    worker = reward_model_worker.RewardModelWorker(args, CARD, LocalRM(scorer, Batcher(scorer)))
    transport = httpx.ASGITransport(application(worker))
    return httpx.AsyncClient(transport=transport, base_url="http://here")


async def ask(client, **request):
    reply = await client.post("/worker_value_inference", json=request)
    assert reply.status_code == 200
    return reply.json()


async def test_questions_and_steps(client, scorer):
    inputs = [{"question": QUESTION, "steps": STEPS[:k]} for k in (2, 0, 1)]
    reply = await ask(client, inputs=inputs)
    whole = scorer.score([(QUESTION, STEPS)])[0]
    assert [len(scores) for scores in reply["value"]] == [2, 0, 1]
    assert reply["value"][0] == pytest.approx(whole, abs=1e-6)
    assert reply["value"][2] == pytest.approx(whole[:1], abs=1e-6)
    tokens = [len(scorer.layouter.lay_out(QUESTION, STEPS[:k]).tokens) for k in (2, 0, 1)]
    assert reply["usage"] == {
        "computed_tokens": tokens[0], "reused_tokens": tokens[2], "per_input": tokens, "truncated_tokens": 0,
    }  # fmt: skip
    assert reply["error_code"] == 0
    assert "input" not in reply


async def test_texts_as_openr_sends_them(client, scorer):
    """A list of texts gives a list of lists, one text a list; the input comes back."""
    whole = scorer.score([(QUESTION, STEPS)])[0]
    reply = await ask(client, input_str=TEXT)
    assert reply["value"] == pytest.approx(whole, abs=1e-6)
    assert reply["input"] == TEXT
    reply = await ask(client, input_str=[TEXT, TEXT])
    assert reply["value"] == [pytest.approx(whole, abs=1e-6)] * 2
    assert reply["input"] == [TEXT, TEXT]
    assert reply["usage"]["reused_tokens"] == reply["usage"]["computed_tokens"]


@pytest.mark.parametrize(
    ("request_", "type_", "message"),
    [
        ({}, "BadRequest", "needs `inputs`"),
        ({"input_str": [1]}, "BadRequest", "needs `inputs`"),
        ({"inputs": {"question": "q"}}, "BadRequest", "`inputs` must be a list"),
        ({"inputs": [{"question": "q", "steps": "no list"}]}, "BadRequest", "input 0 must hold"),
        ({"inputs": [{"question": "q", "steps": []}, {"steps": ["a"]}]}, "BadRequest", "input 1 must hold"),
        ({"inputs": ["q"]}, "BadRequest", "input 0 must hold"),
        ({"input_str": ["1 + 1 = 2"]}, "LayoutError", "input 0: the text holds no step tag '<|step|>'"),
        ({"inputs": [{"question": "1" * 2000, "steps": ["2"]}]}, "LayoutError", "input 0: the input is 2003 tokens"),
        ({"inputs": [{"question": "q", "steps": ["\ud800"]}]}, "LayoutError", "not valid Unicode"),
    ],
)
async def test_what_cannot_be_scored_is_a_typed_error(client, request_, type_, message):
    reply = await client.post("/worker_value_inference", content=json.dumps(request_))
    reply = reply.json()
    assert reply["error_code"] != 0
    assert reply["error"]["type"] == type_
    assert message in reply["error"]["message"]
    assert reply["text"] == reply["error"]["message"]
    assert reply["error"]["retryable"] is False
    assert "value" not in reply


async def test_score_that_is_no_number_is_a_typed_error(client, scorer, monkeypatch):
    monkeypatch.setattr(Scorer, "_forward", lambda self, some: [[float("nan")] * len(x.positions) for x in some])
    reply = await ask(client, inputs=[{"question": QUESTION, "steps": STEPS}])
    assert reply["error"]["type"] == "ScoreError"
    assert "input 0" in reply["text"]


async def test_failing_forward_is_a_typed_error_and_the_worker_goes_on(client, scorer):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scorer, "_forward", lambda *_: 1 / 0)
        replies = await asyncio.gather(*(ask(client, input_str=TEXT) for _ in range(5)))
    assert {reply["error"]["type"] for reply in replies} == {"InternalError"}
    assert (await ask(client, input_str=TEXT))["error_code"] == 0


async def test_many_requests_at_once_get_their_own_scores(client, scorer):
    inputs = some_inputs(50)
    replies = await asyncio.gather(*(ask(client, inputs=[{"question": q, "steps": s}]) for q, s in inputs))
    for reply, scores in zip(replies, scorer.score(inputs), strict=True):
        assert reply["value"] == [pytest.approx(scores, abs=1e-5)]


@pytest.mark.parametrize("megabytes", [0, 8])
async def test_with_a_cache_a_new_step_costs_its_own_tokens(folder, scorer, megabytes):
    args = ["--model-path", str(folder), "--device", "cpu", "--cache-mb", str(megabytes)]
    args = reward_model_worker.arguments().parse_args(args)
    args.worker_address = "http://here"
    worker = reward_model_worker.load(args)
    transport = httpx.ASGITransport(application(worker))
    client = httpx.AsyncClient(transport=transport, base_url="http://here")
    parent, whole = (len(scorer.layouter.lay_out(QUESTION, STEPS[:k]).tokens) for k in (1, 2))
    for k, known in ((1, 0), (2, parent), (2, whole)):
        reply = await ask(client, inputs=[{"question": QUESTION, "steps": STEPS[:k]}])
        tokens = reply["usage"]["per_input"][0]
        assert reply["value"] == [pytest.approx(scorer.score([(QUESTION, STEPS)])[0][:k], abs=1e-5)]
        assert reply["usage"]["reused_tokens"] == (known if megabytes else 0)
        assert reply["usage"]["computed_tokens"] == tokens - reply["usage"]["reused_tokens"]


@pytest.mark.parametrize("text", ["-1", "1.5", "much"])
def test_memory_of_the_cache_is_a_whole_number(capsys, text):
    with pytest.raises(SystemExit) as error:
        reward_model_worker.arguments().parse_args(["--model-path", "m", f"--cache-mb={text}"])
    assert error.value.code == 2
    assert f"must be a whole number of megabytes, 0 or more, not '{text}'" in capsys.readouterr().err


async def test_details_and_other_routes(client):
    details = (await client.post("/model_details")).json()
    assert details["context_length"] == 1024
    assert details["card"]["name"] == "openr-tiny-prm"
    assert (details["engine"], details["dtype"]) == ("prm", "float32")
    assert (await client.post("/count_token", json={"prompt": "1 + 1"})).json()["count"] == 3
    assert (await client.post("/worker_generate", json={"prompt": "1"})).json()["error"]["type"] == "WrongWorker"


def test_adapter_folder_is_served_over_the_model_that_the_arguments_name(folder, scorer, tmp_path):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")  # starts as no change
    base = Scorer.load(str(folder), CARD, device="cpu").model
    peft.get_peft_model(base, config).save_pretrained(tmp_path)
    write_card(tmp_path, CARD)
    args = ["--model-path", str(tmp_path), "--device", "cpu", "--base-model", str(folder)]
    args = reward_model_worker.arguments().parse_args(args)
    args.worker_address = "http://here"
    served = reward_model_worker.load(args).rm.scorer
    assert served.score([(QUESTION, STEPS)]) == [pytest.approx(scorer.score([(QUESTION, STEPS)])[0], abs=1e-6)]


def test_model_that_cannot_be_loaded_is_one_line(folder, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "nosuch"}')
    write_card(tmp_path, CARD)
    args = reward_model_worker.arguments().parse_args(["--model-path", str(tmp_path), "--device", "cpu"])
    with pytest.raises(UserError, match=r"cannot be loaded: ") as error:
        reward_model_worker.load(args)
    assert "\n" not in str(error.value)


def worker(*arguments):
    """The worker's command line."""
    return [sys.executable, "-m", "reason.llm_service.workers.reward_model_worker", *map(str, arguments)]


@pytest.mark.slow
def test_card_that_does_not_fit_ends_with_one_line(tmp_path):
    save_prm(tmp_path, changed(step_tag="<|nostep|>"))
    done = subprocess.run(
        worker("--model-path", tmp_path, "--port", free_port(), "--no-register"),
        cwd=ROOT, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 2
    assert "step_tag '<|nostep|>' must be one token" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_real_worker_behind_a_real_controller(folder, scorer, tmp_path):
    """Registers, warns of its self-test where it fails, answers, ends with status 0 when told to."""
    good = scorer.self_test()
    test = CARD.self_test
    failing = CARD if not good else dataclasses.replace(
        CARD, self_test=dataclasses.replace(test, good=test.bad, bad=test.good)
    )  # fmt: skip
    write_card(folder, failing)
    log = tmp_path / "worker.log"
    with fastchat_controller(tmp_path) as controller, log.open("w") as output:
        process = subprocess.Popen(
            worker("--model-path", folder, "--port", free_port(), "--controller-address", controller),
            cwd=ROOT, stdout=output, stderr=output,
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )  # fmt: skip
        try:
            address = ""
            for _ in range(2000):
                address = json.loads(post(f"{controller}/get_worker_address", {"model": "tiny-prm"}))["address"]
                if address or process.poll() is not None:
                    break
                time.sleep(0.1)
            assert address, log.read_text()
            request = {"inputs": [{"question": QUESTION, "steps": STEPS}]}
            reply = json.loads(post(f"{address}/worker_value_inference", request))
            assert reply["value"] == [pytest.approx(scorer.score([(QUESTION, STEPS)])[0], abs=1e-5)]
        finally:
            process.terminate()
            process.wait(30)
    assert process.returncode == 0
    assert log.read_text().count("self-test's bad solution scores") == 1
