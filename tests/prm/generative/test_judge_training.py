"""A judge from rows to scores: what is learnt, where it is read, and that it is served as it was trained."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from envs.base_env import Problem
from prm.benchmarks.cases import Case, Skips
from prm.generative import finetune, make_data, sft, verdicts
from prm.generative.verdicts import VerdictRow
from reason.common.errors import UserError
from reason.engine.slots import ATTENTION
from reason.engine.transformers_engine import Engine
from reason.inference.base import ModelError, Sample, Sampling
from reason.inference.judge import JudgeRM, judge_prompt, sigmoid
from reason.inference.ledger import Ledger
from reason.llm_service.workers.wire import read_request, reply
from reason.model_cards import card as cards
from reason.model_cards.card import LMCard, PRMCard, with_template
from tests.cli import call, folder_of, records_of
from tests.fakes import LM_CARD, FakeWorker, fastchat_controller, free_port
from tests.reason.engine.tiny import bounds, save_policy
from tests.reason.llm_service.test_services import ask, start_worker, until
from train.core.plan import collate

CARD = cards.find("openr-tiny-judge", "prm")
assert isinstance(CARD, PRMCard)
QUESTION = "1 + 2"
RIGHT, WRONG = "1 + 2 = 3", "1 + 2 = 9"


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of two layers."""
    return save_policy(tmp_path_factory.mktemp("models") / "tiny-policy")


@pytest.fixture(scope="module")
def trained(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judge that was shown by the command that a last digit of 3 is right and one of 9 is wrong."""
    folder = tmp_path_factory.mktemp("judge")
    solutions = [
        {"question": f"{i} + 2", "steps": [f"{i} + 2 = {i}{end}"], "labels": [label], "id": f"{i}{end}"}
        for i in range(1, 9)
        for end, label in ((3, 1), (9, 0))
    ]
    file = folder / "solutions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in solutions))
    assert make_data.main([str(file), "--card", "openr-tiny-judge", "--out", str(folder / "rows.jsonl")]) == 0
    arguments = ["--model_path", str(policy), "--card", "openr-tiny-judge", "--output_dir", str(folder / "openr-judge")]
    arguments += ["--train_data_path", str(folder / "rows.jsonl"), "--test_data_path", str(file)]
    arguments += ["--num_train_epochs", "40", "--total_batch_size", "16", "--learning_rate", "3e-3"]
    arguments += ["--save_steps", "40", "--logging_steps", "1"]
    assert finetune.main(arguments) == 0
    return folder / "openr-judge"


def test_the_loss_is_that_of_the_completion_alone(policy: Path) -> None:
    """Against transformers' own loss with the prompt masked; rows of different length in one pass."""
    tokenizer = AutoTokenizer.from_pretrained(policy)
    trainee = sft.load(str(policy), CARD)
    learnt = [VerdictRow(prompt="1\n<|check|>", completion="Yes", label=1, id=""),
            VerdictRow(prompt="7 * 7 + 1\n<|check|>", completion="7 * 7 = 49; 49 + 1\nNo", label=0, id="")]  # fmt: skip
    examples = [sft.encode(row, CARD, tokenizer) for row in learnt]
    one = collate(examples)
    with torch.no_grad():
        ours = sft.JudgeStudent(trainee, CARD).losses(one)
        labels = [torch.tensor([e.ids]) for e in examples]
        for row, example in enumerate(examples):
            prompt = len(example.ids) - len(example.targets)
            masked = labels[row].clone()
            masked[0, :prompt] = -100
            theirs = trainee.model(input_ids=labels[row], labels=masked).loss
            assert ours[one.rows == row].mean().item() == pytest.approx(theirs.item(), rel=1e-4)
            completion = [
                *tokenizer.encode(learnt[row]["completion"], add_special_tokens=False),
                tokenizer.eos_token_id,
            ]
            assert example.ids[prompt:].tolist() == completion
            assert tokenizer.decode(list(example.ids[:prompt])) == learnt[row]["prompt"]
            assert example.positions[0] == prompt - 1, "the verdict is learnt where it is read"


def test_a_chat_judge_is_trained_in_the_template_that_its_worker_answers_with(policy: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(policy)
    card = cards.find("lm-judge", "prm")
    assert isinstance(card, PRMCard)
    steps = ("1 + 2 = 3; 3 * 3", "3 * 3 = 9")
    row = verdicts.row(card, Case("f", "a", "1 + 2 * 3", steps, (1, 0)), 1)
    example = sft.encode(row, sft.with_template(card, tokenizer), tokenizer)
    served = with_template(card, tokenizer)
    assert isinstance(served, PRMCard)
    assert tokenizer.decode(list(example.ids[: -len(example.targets)])) == judge_prompt(served, "1 + 2 * 3", steps)
    with pytest.raises(ModelError, match="template"):
        judge_prompt(card, "1 + 2 * 3", steps)
    tokenizer.chat_template = None
    with pytest.raises(UserError, match="template"):
        sft.with_template(card, tokenizer)


def test_rows_that_cannot_be_learnt_are_named(policy: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(policy)
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "a", "completion": "Yes"}\n{"prompt": "a", "completion": "maybe"}\n{"prompt": 3}\n')
    with pytest.raises(UserError, match="line 3: prompt"):
        sft.read_rows([file], Skips())
    skips = Skips(True)
    found = sft.read_rows([file], skips)
    with pytest.raises(UserError, match=r"line 2.*neither 'Yes' nor 'No'"):
        sft.encode_all(found, CARD, tokenizer, Skips())
    assert len(sft.encode_all(found, CARD, tokenizer, skips)) == 1
    assert len(skips.messages) == 2
    with pytest.raises(UserError, match="more than the 1024"):
        sft.encode(VerdictRow(prompt="1" * 1100, completion="Yes", label=1, id=""), CARD, tokenizer)


@dataclass
class EngineLM:
    """The transformers engine as the judge's LM, by the fields of the wire."""

    engine: Engine
    card: ClassVar[LMCard] = LM_CARD
    details: ClassVar[dict[str, Any]] = {}
    tokens: list[int] = field(default_factory=list)

    async def _ask(self, **params: Any) -> dict[str, Any]:
        request = read_request(params, bounds(self.engine.tokenizer, 512, self.engine.vocabulary))
        return reply(request, await self.engine.generate(request))

    async def logprobs_of(self, prompt: str, tokens: Sequence[str], ledger: Ledger) -> list[float]:
        answer = await self._ask(prompt=prompt, seeds=[0], max_new_tokens=1, logprobs_of=list(tokens))
        return answer["logprobs_of"][0]

    async def generate(
        self, prompt: str | Sequence[int], sampling: Sampling, seeds: Sequence[int], ledger: Ledger
    ) -> list[Sample]:
        raise NotImplementedError

    async def close(self) -> None: ...


def test_scores_are_the_models_p_yes(trained: Path) -> None:
    """By hand, by the engine in one batch and one by one, and by the trainer's evaluation; and it has learnt."""
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(trained)
    plain = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.float32).eval()
    served = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.float32, attn_implementation=ATTENTION).eval()
    engine = Engine(served, tokenizer, {tokenizer.eos_token_id}, max_samples=16, kv_bytes=2**28)
    card = cards.find(str(trained), "lm")
    assert isinstance(card, PRMCard)
    assert card.head == "generative", "its folder holds the judge's card"
    solutions = [[RIGHT], [WRONG], [RIGHT, "3 + 4 = 13"], [RIGHT, "3 + 4 = 19", "19"]]
    problem = Problem("p", QUESTION, "")

    async def score() -> tuple[list[list[float]], list[list[float]]]:
        together = await JudgeRM(card, EngineLM(engine), {}).score(problem, solutions, Ledger())
        alone = [(await JudgeRM(card, EngineLM(engine), {}).score(problem, [s], Ledger()))[0] for s in solutions]
        return together, alone

    try:
        together, alone = asyncio.run(score())
    finally:
        engine.close()
    assert together == alone
    assert [len(scores) for scores in together] == [len(steps) for steps in solutions]
    yes, no = (tokenizer.convert_tokens_to_ids(token) for token in ("Yes", "No"))
    for steps, scores in zip(solutions, together, strict=True):
        for n, found in enumerate(scores, 1):
            ids = tokenizer.encode(judge_prompt(card, QUESTION, steps[:n]))
            with torch.inference_mode():
                logits = plain(torch.tensor([ids])).logits[0, -1]
            assert found == pytest.approx(sigmoid((logits[yes] - logits[no]).item()), abs=1e-4)
    case = Case("f", "a", QUESTION, tuple(solutions[3]), (1, 0, -1))
    evaluation = sft.JudgeEvaluation.prepare([case], card, tokenizer, 64, Skips())
    scorer = sft.Scorer(plain, tokenizer, evaluation.card, 64)
    assert [s[0] for s in scorer.run(evaluation.layouts).all_scores()] == pytest.approx(together[3], abs=1e-4)
    assert together[0][0] > 0.9
    assert together[1][0] < 0.1


def test_training_lowers_the_loss_and_tests_on_the_way(trained: Path) -> None:
    state = json.loads((trained / "trainer_state.json").read_text())
    losses = [log["loss"] for log in state["log_history"] if "loss" in log]
    assert losses[-1] < 0.2 * losses[0]
    assert [log["eval_auc"] for log in state["log_history"] if "eval_auc" in log] == [1.0]


async def test_a_model_that_was_not_trained_gives_no_verdict(policy: Path) -> None:
    """A random policy gives Yes and No together next to nothing, or an error says so: never a score of 0."""
    tokenizer = AutoTokenizer.from_pretrained(policy)
    served = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32, attn_implementation=ATTENTION).eval()
    with torch.no_grad():
        served.get_output_embeddings().weight[tokenizer.convert_tokens_to_ids(["Yes", "No"])] = 0
        served.get_output_embeddings().weight[tokenizer.convert_tokens_to_ids("7")] *= 50
    engine = Engine(served, tokenizer, {tokenizer.eos_token_id}, max_samples=16, kv_bytes=2**28)
    questions, refused = [f"{i} + {i * i}" for i in range(8)], 0
    try:
        for question in questions:
            try:
                scores = await JudgeRM(CARD, EngineLM(engine), {}).score(Problem("p", question, ""), [["1"]], Ledger())
            except ModelError as error:
                refused += "no verdict" in str(error)
            else:
                assert scores == [[pytest.approx(0.5)]]
    finally:
        engine.close()
    assert refused


def test_bad_input_is_one_line(policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "a", "completion": "Yes"}\n')
    usual = {
        "--model_path": policy,
        "--card": "openr-tiny-judge",
        "--train_data_path": file,
        "--output_dir": tmp_path / "o",
    }
    for changed, message in (
        ({"--card": "openr-tiny-prm"}, "head token_logits"),
        ({"--train_data_path": tmp_path / "none"}, "cannot be read"),
        ({"--card": "openr-tiny-reasoning-judge", "--test_data_path": file}, "prm/evaluate.py"),
        ({"--model_path": tmp_path}, "cannot be loaded"),
    ):
        arguments = [str(part) for pair in (usual | changed).items() for part in pair]
        assert finetune.main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert len(error.splitlines()) == 1


@pytest.mark.slow
def test_a_trained_judge_guides_a_search(trained: Path, tmp_path: Path) -> None:
    """Served by the LM worker under FastChat's controller, named with --RM."""
    port = free_port()
    with fastchat_controller(tmp_path) as controller, FakeWorker("policy", controller, LM_CARD):
        worker = start_worker(trained, controller, port, tmp_path / "worker.log")
        try:
            until(lambda: trained.name in ask(controller, "list_models")["models"])
            done = call(
                "--LM", "policy", "--RM", trained.name, "--method", "beam_search", "--num_sequence", 2,
                "--tree_max_width", 2, "--task_name", "arithmetic", "--limit", 2, "--level", "3",
                "--save_dir", tmp_path / "runs", "--controller_addr", controller,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
        finally:
            worker.terminate()
            worker.wait(30)
    records = records_of(folder_of(done)).values()
    assert len(records) == 2
    for record in records:
        assert record["error"] is None
        assert all(0 <= score <= 1 for output in record["output"] for score in output["value"])
        assert record["ledger"]["prm_tokens_computed"] > 0
        assert record["ledger"]["prm_calls"] > 0
    assert json.loads((folder_of(done) / "config.json").read_text())["cards"]["RM"]["head"] == "generative"
