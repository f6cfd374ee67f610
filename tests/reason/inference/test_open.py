"""Names of models, and models in this process."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from envs.base_env import Problem, load_task
from prm.scoring.scorer import Scorer
from reason.common.errors import UserError
from reason.inference import EMBEDDED, LocalOptions, folder_of, open_lm, open_rm
from reason.inference.base import ModelError, Sampling, Stats
from reason.inference.ledger import Ledger
from reason.inference.local import LocalLM, LocalRM
from reason.inference.prompting import render

LM, RM = "openr-tiny-policy", "openr-tiny-prm"
TASK = load_task("arithmetic")
PROBLEM = Problem("p", "12 + 3 * 4", "24")
FEW = LocalOptions(device="cpu", max_samples=64)


async def test_a_name_opens_by_await_and_by_with() -> None:
    rm = await open_rm("oracle:noise=0.5", task=TASK)
    assert rm.details["noise"] == 0.5
    async with open_rm("oracle", task=TASK) as rm:
        assert await rm.score(PROBLEM, [["3 * 4 = 12; 12 + 12\n", "12 + 12 = 25\n"]], Ledger()) == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "no empty name"),
        ("locl:x", "no kind of model 'locl', did you mean 'local'"),
        ("openai:http://127.0.0.1:1#m", "cannot be used yet"),
        ("/models/x", "local:/models/x"),
        ("local:openr-tiny-polcy", "did you mean 'openr-tiny-policy'"),
        ("local:/nowhere/at/all", "there is no folder /nowhere/at/all"),
        ("local:", "local:FOLDER"),
        ("name", "no controller answers at http://127.0.0.1:1 "),
    ],
)
async def test_what_no_model_is_called_is_one_line(name: str, says: str) -> None:
    for opening in (open_lm(name, controller_addr="127.0.0.1:1"), open_rm(name, controller_addr="127.0.0.1:1")):
        with pytest.raises(UserError) as error:
            await opening
        assert says in str(error.value)
        assert "\n" not in str(error.value)


async def test_the_oracle_is_no_lm_and_needs_a_task() -> None:
    with pytest.raises(UserError, match="no task here"):
        await open_rm("oracle")
    with pytest.raises(UserError, match="no kind of model 'oracle'"):
        await open_lm("oracle:noise=1")


def test_an_embedded_model_is_a_folder_of_the_package() -> None:
    assert folder_of(LM) == str(EMBEDDED / LM)
    assert folder_of("owner/name") == "owner/name"


async def test_a_model_without_a_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A language model gets one from its tokenizer, which is said; for a reward model there is none to be had."""
    folder = tmp_path / "unknown"
    shutil.copytree(EMBEDDED / LM, folder)
    async with open_lm(f"local:{folder}", local=FEW) as lm:
        assert isinstance(lm, LocalLM)
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "has no model card" in said
        assert lm.card.step_separator == "\n\n"
        assert lm.card.chat_template == lm.engine.tokenizer.chat_template
        prompt = render(lm.card, "1 + 1")
        (sample,) = await lm.generate(prompt, Sampling(max_tokens=4), [1], Ledger())
        assert sample.num_tokens <= 4
    with pytest.raises(UserError, match=r"no card lists the model .*openr-tiny-prm"):
        await open_rm(f"local:{folder}")


async def test_turns_that_end_otherwise_than_texts_stop_the_sample(tmp_path: Path) -> None:
    """The template closes the assistant's turn with a special token that is not the tokenizer's end of text."""
    folder = tmp_path / "chat"
    shutil.copytree(EMBEDDED / LM, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": template}))
    async with open_lm(f"local:{folder}", local=FEW) as lm:
        assert lm.card.stop == ("<|im_end|>",)


async def test_samples_of_this_process() -> None:
    """Texts and ids of prompts alike, token ids told, costs counted; a call does not hold up the event loop."""
    stats = Stats()
    async with open_lm(f"local:{LM}", local=FEW, stats=stats) as lm:
        assert {"engine", "context_length", "dtype", "version"} <= lm.details.keys()
        prompt, sampling, ledger = render(lm.card, "12 + 3 * 4"), Sampling(0.8, max_tokens=40), Ledger()
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        samples = await lm.generate(prompt, sampling, range(16), ledger)
        ticking.cancel()
        assert ticks > 3
        assert isinstance(lm, LocalLM)
        ids = lm.engine.tokenizer.encode(prompt)
        assert await lm.generate(ids, sampling, range(16), Ledger()) == samples
        assert [len(sample.token_ids) for sample in samples] == [sample.num_tokens for sample in samples]
        assert (ledger.lm_calls, ledger.prompt_tokens) == (1, len(ids))
        assert ledger.generated_tokens == sum(sample.num_tokens for sample in samples)
        assert (stats.requests_in_flight, stats.generated_tokens) == (0, 2 * ledger.generated_tokens)
        (greedy,) = await lm.generate(prompt, Sampling(0.0, max_tokens=1), [0], Ledger())
        told = await lm.logprobs_of(prompt, [greedy.text, "9"], Ledger())
        assert told[0] == max(told)
        assert greedy.logprob == pytest.approx(told[0], abs=1e-5)
        for wrong in ("", "1" * 5000, "\ud83d", [10**6]):
            with pytest.raises(ModelError):
                await lm.generate(wrong, sampling, [1], Ledger())


async def test_scores_of_this_process() -> None:
    async with open_rm(f"local:{RM}", local=FEW) as rm:
        right, wrong = ["3 * 4 = 12; 12 + 12\n", "12 + 12 = 24"], ["3 * 4 = 13; 12 + 13\n", "12 + 13 = 25"]
        ledger = Ledger()
        scores = await rm.score(PROBLEM, [right, wrong, right[:1]], ledger)
        assert [len(row) for row in scores] == [2, 2, 1]
        assert min(scores[0]) > min(scores[1])
        assert isinstance(rm, LocalRM)
        in_full = Scorer.load(folder_of(RM), rm.card, "cpu").score([("12 + 3 * 4", right), ("12 + 3 * 4", wrong)])
        assert scores[:2] == [pytest.approx(row, abs=1e-5) for row in in_full]
        assert scores[2] == pytest.approx(scores[0][:1], abs=1e-6)
        again = await rm.score(PROBLEM, [right], ledger)
        assert again[0] == pytest.approx(scores[0], abs=1e-6)
        assert ledger.prm_calls == 2
        assert ledger.prm_tokens_reused > ledger.prm_tokens_computed, "what was read once stays read"
        with pytest.raises(ModelError, match="not valid Unicode"):
            await rm.score(PROBLEM, [["\ud83d"]], ledger)


async def test_weights_are_pushed_by_name() -> None:
    sampling = Sampling(0.9, max_tokens=20)
    async with open_lm(f"local:{LM}", local=FEW) as lm:
        assert isinstance(lm, LocalLM)

        async def texts() -> list[str]:
            return [sample.text for sample in await lm.generate("12 + 3 * 4\n", sampling, range(8), Ledger())]

        before, own = await texts(), load_file(EMBEDDED / LM / "model.safetensors")
        torch.manual_seed(0)
        await lm.push((name, weight.float() + torch.randn(weight.shape) * 0.05) for name, weight in own.items())
        assert await texts() != before
        with pytest.raises(ModelError, match="of another model"):
            await lm.push([("model.norm.weight", own["model.norm.weight"])])
        await lm.push(own.items())
        assert await texts() == before
        await lm.push(())
        assert await texts() == before


def test_a_model_serves_one_event_loop_after_the_other() -> None:
    lm, rm = asyncio.run(_both())

    async def ask() -> object:
        return await asyncio.gather(
            lm.generate("1 + 1\n", Sampling(max_tokens=5), [1], Ledger()), rm.score(PROBLEM, [["1\n"]], Ledger())
        )

    assert asyncio.run(ask()) == asyncio.run(ask())
    asyncio.run(rm.close())
    asyncio.run(lm.close())


async def _both():
    return await open_lm(f"local:{LM}", local=FEW), await open_rm(f"local:{RM}", local=FEW)


async def test_a_prm_of_nan_is_named_by_its_folder_and_by_no_flag(tmp_path: Path) -> None:
    shutil.copytree(EMBEDDED / RM, tmp_path / RM)
    weights = load_file(tmp_path / RM / "model.safetensors")
    weights["model.norm.weight"].fill_(float("nan"))
    save_file(weights, tmp_path / RM / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError) as raised:
        await open_rm(f"local:{tmp_path / RM}")
    assert str(raised.value).startswith(f"{tmp_path / RM} cannot be loaded: ") and "--" not in str(raised.value)
    assert "not a finite number" in str(raised.value)
