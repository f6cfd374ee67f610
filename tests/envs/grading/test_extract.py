"""Where the final answer of a text is, and that hostile texts are answered at once."""

import time

import pytest

from envs.grading.equal.compare import compare
from envs.grading.extract import extract

TEXTS = [
    # boxes
    ("So $\\boxed{12}$.", "12"),
    ("First \\boxed{10}, but wait, it is \\boxed{12}.", "12"),
    ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
    ("\\boxed{\\boxed{12}}", "12"),
    ("\\boxed{\\text{The answer is } \\boxed{7}}", "7"),
    ("\\boxed{12", "12"),
    ("$\\boxed{\\frac{1}{2}$ is the answer", "\\frac{1}{2}"),
    ("\\boxed 7", "7"),
    ("$\\boxed7$", "7"),
    ("\\boxed\\frac{1}{2}", "\\frac{1}{2}"),
    ("\\fbox{17}", "17"),
    ("\\boxed {9}", "9"),
    ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
    ("$\\boxed{1}$ and $\\boxed{2}$", "1, 2"),
    ("$\\boxed{1}$, $\\boxed{2}$, and $\\boxed{3}$", "1, 2, 3"),
    ("\\[ \\boxed{-2} \\quad \\text{or} \\quad \\boxed{1} \\]", "-2, 1"),
    ("\\boxed{4} is the first and then comes \\boxed{5}", "5"),
    ("Put your answer in \\boxed{}. It is \\boxed{3}. Not \\boxed{}", "3"),
    ("x = \\boxed{5}\\text{ cm}", "5"),
    ("**Answer: \\boxed{C}**", "C"),
    ("The final answer is $\\boxed{-1,234}$. I hope it is correct.", "-1,234"),
    ("We get \\boxed{255} for the half. Final Answer: The final answer is $510$. I hope it is correct.", "510"),
    # thinking, tags and tokens
    ("<think>maybe \\boxed{7}</think>\nThe final answer is \\boxed{12}.", "12"),
    ("<think>\\boxed{7}</think> The answer is 12", "12"),
    ("I think \\boxed{7}</think> so \\boxed{8}", "8"),
    ("<think>it must be \\boxed{7}, or is it", None),
    ("\\boxed{12}<|im_end|>\n<|im_start|>user\nwhat about \\boxed{13}?", "12"),
    ("The answer is 12.</s>", "12"),
    ("The answer is 12. ки", "12"),
    ("Step 1: 3 + 4 = 7 ки\nStep 2: The answer is 7 ки", "7"),
    ("<answer>\\frac{2}{3}</answer>", "\\frac{2}{3}"),
    ("<think>a</think><answer> The answer is 42. </answer>", "42"),
    # words that announce
    ("The answer is 12.", "12"),
    ("The answer is: 12", "12"),
    ("the answer is -3.5.", "-3.5"),
    ("The answer is 1,234.", "1,234"),
    ("The answer is 2/3.", "2/3"),
    ("The answer is $x^2 + 1$.", "x^2 + 1"),
    ("The final answer is \\(\\frac{3}{4}\\).", "\\frac{3}{4}"),
    ("Final Answer:\n\n$$\n\\frac{3}{4}\n$$", "\\frac{3}{4}"),
    ("**Final Answer:** 42", "42"),
    ("**Final Answer**\n\n42", "42"),
    ("### Final Answer\nThe answer is **42**.", "42"),
    ("ANSWER: 17", "17"),
    ("Answer: $\\sqrt{2}$", "\\sqrt{2}"),
    ("Therefore, the answer is 5 because 2 + 3 = 5.", "5"),
    ("The answer is 12 apples.", "12"),
    ("So the correct answer is \\$15.", "15"),
    ("There are 12 candidates; of 7 the answer is 12.", "12"),
    ("In step 3 we find the answer is 12.", "12"),
    ("The answer to the question is 8.", "8"),
    ("Final Answer: Jane started 3 hours ago. I hope it is correct.", "3"),
    ("Final Answer: The largest $n$ is 34.", "34"),
    ("The result is $3$", "3"),
    ("The answer is (2, 3).", "(2, 3)"),
    ("The answer is $2$ and $3$.", "2, 3"),
    ("The answer is x = 5, not x = 6.", "5"),
    ("The solution is $x = 4$.", "4"),
    # other languages
    ("答案是 12。", "12"),
    ("答案：$\\frac{1}{2}$", "\\frac{1}{2}"),
    ("所以答案为12个苹果。", "12"),
    ("因此，最终答案是 \\boxed{36}。", "36"),
    ("一共有3 + 10 = 13只鸟。", "13"),
    ("计划的比例为13/28", "13/28"),
    ("瑞秋比昨天多 **3页**。", "3"),
    ("故选C", "C"),
    ("La réponse est 12.", "12"),
    # hashes, bold, formulas, numbers
    ("3 + 4 = 7\n#### 7", "7"),
    ("#### 1,234", "1,234"),
    ("#### -5 dollars", "-5"),
    ("**Step 1** do this. We get **42**.", "42"),
    ("It costs **\\$15.50** in total.", "15.50"),
    ("We find that $x \\neq 3$.", "x \\neq 3"),
    ("This gives $a = 3$ and hence $f(a) = 7$.", "7"),
    ("So we get 3.14 as the result", "3.14"),
    ("In 1999 he had 5 dogs and 12 cats.", "12"),
    ("It is the 3rd of 12 rooms, called B7", "12"),
    ("He paid $10 and $25.", "25"),
    ("It increases by 100%.", "100%"),
    ("The range is 3-7 and the mean is -4", "-4"),
    ("She has 5kg of flour", "5"),
    ("The value of $x$ is 5", "5"),
    ("We compute $f(2) = 3$ first. Therefore, the sum is 12.", "12"),
    # a text that is an answer
    ("42", "42"),
    ("\\frac{10}{9}", "\\frac{10}{9}"),
    ("x = 3", "3"),
    ("$(1, 2)$", "(1, 2)"),
    ("7,425,000", "7425000"),
    ("\\sqrt{3}", "\\sqrt{3}"),
    ("yes", "yes"),
    # letters of multiple choice
    ("The correct answer is (C).", "C"),
    ("The correct answer is C, not A.", "C"),
    ("I would choose option B", "B"),
    ("The answer is (B) 12.", "B"),
    ("Answer: D", "D"),
    ("The correct option is **(E)**", "E"),
    # none
    ("", None),
    ("   \n ", None),
    ("I do not know how to solve this problem at all, sorry.", None),
    ("\\boxed{}", None),
]


@pytest.mark.parametrize("text, answer", TEXTS)
def test_the_final_answer(text, answer):
    found = extract(text)
    if answer is None or found is None:
        assert found is answer
    else:
        assert compare(answer, found).equal, found


HOSTILE = [
    "\\boxed{" * 14000,
    "\\boxed{" * 14000 + "}" * 14000,
    "$" * 100_000,
    "\\[" * 50_000,
    "\\(" * 50_000,
    "answer is " * 10_000,
    "the answer " * 9000,
    "<think>" * 14000,
    "**" * 50_000,
    "9" * 100_000,
    "1,111" * 20_000,
    "####" * 25_000,
    "$$a " * 25_000,
    " " * 100_000 + "5",
    "\n" * 100_000 + "5",
    "answer" + " " * 99_000,
    "so " * 30_000,
    "{" * 100_000,
    "1 - " * 25_000,
    ". " * 50_000,
    "\ud800" * 1000,
    "\x00" * 1000,
    "$1" * 50_000,
    "\\boxed{1}, " * 9000,
    "x" * 10_000_000 + "\\boxed{5}",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_hostile_texts_are_answered_at_once(text):
    started = time.process_time()
    extract(text)
    assert time.process_time() - started < 1.5
