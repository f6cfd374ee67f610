"""What of a solution's text counts as its answer: nothing of an unfinished thought, of a cut one complete marks."""

from dataclasses import replace

import pytest

from envs.MATH import TASK as MATH
from reason.guided_search.options import SearchOptions
from reason.guided_search.tree import SearchTree
from reason.inference.ledger import Ledger
from tests.reason.guided_search.scripted import PROBLEM, TASK, ScriptedLM

MARKED = replace(TASK, extract=MATH.extract, marked=MATH.marked)


async def answers(texts, prompt="{question}:", **options):
    lm = ScriptedLM({prompt.format(question=PROBLEM.question).removeprefix("q:"): texts})
    lm.card = replace(lm.card, prompt=prompt)
    tree = SearchTree(PROBLEM, MARKED, lm, None, SearchOptions(num_sequence=len(texts), **options), Ledger())
    await tree.sample_solutions(len(texts))
    return [solution.answer for solution in tree.solutions()]


CUT = ["2 * = ...", "so 3 + 4 = 7 and 12...", "\\boxed{5}. Let us see...", "\\boxed{6", "The answer is 7. We..."]


async def test_a_cut_solution_has_an_answer_where_its_mark_is_complete():
    texts = [text if text.endswith("...") else f"{text}..." for text in CUT]
    assert await answers(texts) == [None, None, "5", None, "7"]


async def test_cut_solutions_count_where_it_is_asked_for():
    found = await answers(CUT[:2], count_cut_solutions=True)
    assert all(answer is not None for answer in found)


@pytest.mark.parametrize("tag", ["think", "think_fast", "seed:think"])
async def test_a_thought_that_the_prompt_opened_has_no_answer_until_it_ends(tag):
    texts = ["Maybe \\boxed{5}?", f"Maybe \\boxed{{5}}?</{tag}> It is \\boxed{{6}}.", "no, let me"]
    assert await answers(texts, f"{{question}}<{tag}>") == [None, "6", None]
    assert (await answers(texts[:1]))[0] == "5"
