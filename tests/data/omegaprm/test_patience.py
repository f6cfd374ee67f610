"""Services that fail for a while, for ever, or for one question alone."""

import pytest

from data.omegaprm.labeller import LabelSetup, label_all
from data.omegaprm.options import LabelOptions
from data.omegaprm.patience import PatientLM, ServicesGone
from envs.base_env import Problem
from reason.inference.base import ModelError, Unavailable
from tests.data.omegaprm.chains import ChainLM
from tests.reason.guided_search.scripted import TASK, TextGrader

PROBLEMS = [(i, Problem(f"p{i}", f"q{i}", "right")) for i in range(6)]


class Failing(ChainLM):
    """Fails the requests whose numbers `when` holds true for."""

    def __init__(self, when, **options):
        super().__init__(8, 0.2, **options)
        self.when, self.requests = when, 0

    async def generate(self, prompt, sampling, seeds, ledger):
        self.requests += 1
        if self.when(self.requests, prompt):
            raise Unavailable("nobody is there")
        return await super().generate(prompt, sampling, seeds, ledger)


async def run(lm, patience=30.0):
    looked = []

    async def look_up():
        looked.append(1)

    patient = PatientLM(lm, patience, look_up, first_delay=0.01, longest_delay=0.05)
    records = []
    await label_all(LabelSetup(TASK, patient, "chain", TextGrader(), LabelOptions()), PROBLEMS, 6, records.append)
    return sorted(records, key=lambda r: r["index"]), looked, patient


def without_time(records):
    return [{name: value for name, value in r.items() if name != "seconds"} for r in records]


async def test_a_policy_that_fails_for_a_while_changes_nothing(capsys):
    plain, _, _ = await run(ChainLM(8, 0.2))
    shaken, looked, patient = await run(Failing(lambda n, _: 10 <= n < 40))
    assert without_time(shaken) == without_time(plain)
    assert looked
    assert patient.samples == sum(r["ledger"]["rollouts"] for r in shaken)
    said = capsys.readouterr().err
    assert said.count("waiting up to 30 s") == said.count("the services answer again") >= 1


async def test_services_that_stay_away_stop_the_run():
    with pytest.raises(ServicesGone, match=r"no answer for 0\.2 s \(nobody is there\)"):
        await run(Failing(lambda n, _: n > 20), patience=0.2)


async def test_a_request_that_fails_while_others_succeed_is_its_questions_error():
    def of_one(n, prompt):
        return prompt.startswith("q3")

    records, _, _ = await run(Failing(of_one))  # the others have long finished when it gives up
    assert [r["index"] for r in records if r["error"]] == [3]
    assert records[3]["error"] == {"type": "ModelError", "message": "nobody is there"}
    assert records[3]["status"] == "error" and records[3]["ledger"]["rollouts"] == 0


async def test_other_errors_are_not_tried_again():
    class Refusing(ChainLM):
        async def generate(self, *args):
            raise ModelError("the prompt is too long")

    records, looked, _ = await run(Refusing())
    assert {r["status"] for r in records} == {"error"} and not looked
