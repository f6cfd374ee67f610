"""Answers that public bug reports and real models' outputs hold, by kind. tests/README.md says where each is from."""

import pytest

from envs.grading import extract
from envs.grading.equal.compare import compare
from envs.thoughts import opens_thought

EQUAL = {
    "ordinal": [
        ("12", "12^{\\text{th}}"), ("21", "21^{st}"), ("3", "3^{\\mathrm{rd}}"), ("102", "102nd"),
        ("11", "11\\text{th}"),
    ],
    "qualifier": [
        ("f(x)=x+c", "f(x)=x+c \\text{ for any real } c"), ("f(x)=kx", "f(x)=kx \\text{ for all } k \\in \\mathbb{R}"),
        ("y = Ce^{x}", "y = Ce^{x}, \\text{ where } C \\text{ is a constant}"), ("2n+1", "2n+1, n \\in \\mathbb{Z}"),
        ("x = 2\\pi k, k \\in \\mathbb{Z}", "x = 2k\\pi"),
    ],
    "root in a list": [
        ("\\sqrt[3]{2}, \\sqrt[3]{5}", "\\sqrt[3]{5}, \\sqrt[3]{2}"), ("(\\sqrt[3]{2}, 1)", "(2^{1/3}, 1)"),
        ("\\{\\sqrt[3]{2}, \\sqrt[4]{3}\\}", "\\{\\sqrt[4]{3}, \\sqrt[3]{2}\\}"),
        ("[\\sqrt[3]{2}, \\sqrt[3]{5}]", "\\sqrt[3]{2} \\le x \\le \\sqrt[3]{5}"),
    ],
    "prime": [
        ("f'(x)", "f^{\\prime}(x)"), ("y' = 2y", "y^{\\prime} = 2y"), ("y'' + y", "y + y^{\\prime\\prime}"),
        ("f'(2) = 3", "f^\\prime(2) = 3"),
    ],
    "time": [
        ("6:30 am", "\\text{6:30 a.m.}"), ("\\text{6:30 a.m.}", "6:30"), ("11:05\\text{ PM}", "\\text{11:05 p.m.}"),
        ("\\text{9:45}", "9:45"),
    ],
    "base": [
        ("1011_2", "1011_{(2)}"), ("1011_{(2)}", "1011_{2}"), ("432_5", "432_{(5)}"),
        ("212_3", "212_{(\\text{three})}"),
        ("1A3_{16}", "1A3_{(16)}"),
    ],
    "ratio of segments": [
        ("1/\\sqrt{6}", "\\frac{NO}{BO}=1/\\sqrt{6}"), ("\\frac23", "\\frac{AB}{CD} = \\frac{2}{3}"),
        ("2", "\\frac{AB}{BC} = 2"),
        ("\\frac{2}{3}", "\\frac{AB}{CD} = 2:3"),
    ],
    "systems": [
        ("(5,2),(7,2)", "p=5,q=2;p=7,q=2"), ("(1,2),(3,4)", "x=1, y=2 \\text{ or } x=3, y=4"),
        ("(1,2),(3,4)", "(x,y) = (1,2), (3,4)"), ("(1,2,3),(2,3,1)", "a=1,b=2,c=3;a=2,b=3,c=1"),
        ("x=3,y=4;x=1,y=2", "x=1,y=2;x=3,y=4"),
    ],
    "remark": [
        ("6\\pi", "6\\pi \\text{ (about }18.9\\text{)}"), ("\\sqrt{2}", "\\sqrt{2} (\\approx 1.41)"),
        ("\\frac{22}{7}", "\\frac{22}{7} \\text{ (approximately 3.14)}"),
        ("5", "x = 5 \\text{ (rejecting } x = -1\\text{)}"),
    ],
    "prose before": [
        ("12", "\\text{The area is } 12"), ("5", "\\text{The value of } x \\text{ is } 5"),
        ("12", "\\text{There are } 12 \\text{ such numbers}"), ("\\frac{1}{2}", "The probability is \\frac{1}{2}"),
    ],
    "one answer in several forms": [
        ("\\frac{639}{40}", "15\\frac{39}{40} \\text{ or } \\frac{639}{40}"), ("\\frac12", "0.5 \\text{ or } \\frac12"),
        ("x = 2", "x = 2 \\text{ or } \\frac42"), ("50\\%", "50\\% \\text{ or } 50\\%"),
    ],
    "parsed alike": [("\\sqrt{1/n}", "\\frac{1}{\\sqrt{n}}"), ("\\frac12", "\\frac{1}{2}"), ("x^2-x+2", "2-x+x^2")],
}  # fmt: skip
DIFFERENT = {
    "ordinal": [("12", "13^{\\text{th}}"), ("12^{th}", "12^2"), ("2^n", "2^{nd}")],
    "qualifier": [
        ("f(x)=x+c", "f(x)=2x+c \\text{ for any real } c"), ("2n+1", "2n, n \\in \\mathbb{Z}"),
        ("2n+1, n \\in \\mathbb{Z}", "2n+1, n \\in \\mathbb{R}"), ("x", "x \\text{ for all } x > 0"),
        ("5", "5 \\text{ if } n = 1"),
    ],
    "root in a list": [
        ("\\sqrt[3]{2}, \\sqrt[3]{5}", "\\sqrt[3]{2}, \\sqrt[5]{5}"), ("[\\sqrt[3]{2}, 5]", "(\\sqrt[3]{2}, 5)"),
    ],
    "base": [("1011_2", "1011_{(3)}"), ("1011_{(2)}", "1101_2")],
    "ratio of segments": [("2", "\\frac{x}{y} = 2"), ("2", "\\frac{AB}{CD} = 3"), ("2", "\\frac{A}{B} = 2")],
    "systems": [
        ("(5,2),(7,2)", "p=5,q=2;p=7,q=3"), ("(1,2),(3,4)", "x=2,y=1;x=4,y=3"), ("x=1,y=2;x=3,y=4", "x=1,y=4;x=3,y=2"),
    ],
    "remark": [("18.9", "6\\pi \\text{ (about }18.9\\text{)}"), ("-1", "x = 5 \\text{ (rejecting } x = -1\\text{)}")],
    "prose before": [
        ("5", "\\text{The answer is not } 5"), ("5", "\\text{There are no more than } 5"), ("5", "it is less than 5"),
    ],
    "one answer in several forms": [
        ("3", "3 \\text{ or } -3"), ("\\frac12", "0.5 \\text{ or } \\frac13"), ("20\\%", "0.2 \\text{ or } 20"),
    ],
    "parsed alike": [
        ("1 - \\frac{1}{\\mathrm{e}}", "1 + \\frac{1}{\\mathrm{e}}"), ("\\frac{1}{2004!}", "\\frac{1}{2006!}"),
        ("\\frac{1}{2^{99}}", "\\frac{1}{2^{98}}"), ("n=2, 3, 4", "n=1, 2, 3"), ("D = (0, 1)", "D = (0, 1.5)"),
        ("19, 46, \\text{ and } 82", "21, 36, and 82"), ("\\pm 2021", "2021"), ("12:00", "1:00"), ("4", "4\\sqrt(2)"),
        ("\\frac{2^{2005}+1}{3 \\cdot 2^{2006}}", "\\frac{1}{3 \\cdot 2^{2006}}"), ("3*x-1*y+13=0", "3x + 4y + 14=0"),
        ("1, 2, \\ldots, n", "1, 3, 5, \\ldots, 2n-1"), ("1331 and 1728", "1728"),
        ("(3, \\frac{\\pi}{2})", "(3, \\frac{2\\pi}{3})"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", EQUAL)
def test_equal(kind):
    assert [(a, b, compare(a, b)) for a, b in EQUAL[kind] if not compare(a, b).equal] == []


@pytest.mark.parametrize("kind", DIFFERENT)
def test_different(kind):
    assert [(a, b) for a, b in DIFFERENT[kind] if compare(a, b).equal or compare(b, a).equal] == []


TEXTS = [
    # an answer line after the box
    ("The ratio is \\boxed{\\langle H\\rangle \\ll \\Delta E}.\n\n**Answer: D**", "D"),
    ("We have \\boxed{x > 0}, so the second one.\n\nAnswer: (B)", "B"),
    ("First \\boxed{10} for the half.\n\n**Answer:** 20", "20"),
    ("So \\boxed{12}.\n\nAnswer: see above", "12"),
    # an empty box
    ("3 + 4 = 7\n#### 7\n\\boxed{}", "7"),
    ("Answer: 7. Put it in a box: \\boxed{ }", "7"),
    ("\\boxed{7} and then \\boxed{}", "7"),
    # several boxes or formulas
    ("It is $\\boxed{15\\frac{39}{40}}$ or $\\boxed{\\frac{639}{40}}$ inches.", "\\frac{639}{40}"),
    ("`\\boxed{15\\frac{39}{40}}` or `\\boxed{\\frac{639}{40}}`", "\\frac{639}{40}"),
    ("\\boxed{3}, \\boxed{5}, \\boxed{7}", "3, 5, 7"),
    ("The solutions are $(1,2)$, $(3,4)$ and $(5,6)$.", "(1,2), (3,4), (5,6)"),
    ("The answers are $p = 5$ and $q = 2$.", "p=5, q=2"),
    ("First attempt gives \\boxed{5}. That is wrong; correcting, the answer is \\boxed{7}.", "7"),
    ("the answer is \\boxed{2}. wait, actually \\boxed{3}", "3"),
    # a count in words after formulas
    ("We need $n=2k$ with $k<13$. There are 12 such numbers.", "12"),
    ("Let $x^2 = 9$. We have 2 solutions.", "2"),
    ("$a+b=7$ has to hold. Therefore there are 6 such pairs.", "6"),
    # circumstances after the number that is asked for
    ("Ben pays 42 dollars in 3 days.", "42"),
    ("She walks 15 miles within 2 hours.", "15"),
    ("He saves 20 dollars every 4 weeks.", "20"),
    ("It is done in 3 days.", "3"),
    # thoughts
    ("<think_fast>maybe \\boxed{7}</think_fast>so \\boxed{8}", "8"),
    ("maybe \\boxed{7}</seed:think>so \\boxed{8}", "8"),
    ("[THINK]\\boxed{7}[/THINK]so \\boxed{8}", "8"),
    ("<|begin_of_thought|>\\boxed{7}<|end_of_thought|>so \\boxed{8}", "8"),
    ("<think_fast>maybe \\boxed{7}", None),
    # letters with their options
    ("\\boxed{E: A polygenic risk score}", "E"),
    ("\\boxed{\\text{E}}", "E"),
    ("The difference between them is 8 - 4.\n\n**Answer:** 4.", "4"),
]


@pytest.mark.parametrize("text, answer", TEXTS)
def test_extracted(text, answer):
    found = extract(text)
    if answer is None or found is None:
        assert found is answer
    else:
        assert compare(answer, found).equal, found


def test_a_thought_that_the_prompt_opened_must_end():
    assert extract("Maybe \\boxed{5}? no, let me", thought=True) is None
    assert extract("The answer is 5. #### 5\n", thought=True) is None
    for end in ("</think>", "</think_fast>", "</thinking>", "</seed:think>", "[/THINK]", "◁/think▷"):
        assert extract(f"Maybe \\boxed{{5}}?{end} It is \\boxed{{6}}.", thought=True) == "6"
    assert extract("Maybe \\boxed{5}?</think>", thought=True) is None


@pytest.mark.parametrize(
    "prompt, opened",
    [
        ("<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n<think>\n", True),
        ("Question<seed:think>", True),
        ("Question\n<think_fast>\n", True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("Use <think> tags.\n<|im_start|>assistant\n", False),
        ("1+1?", False),
    ],
)
def test_what_a_prompt_opens(prompt, opened):
    assert opens_thought(prompt) is opened


@pytest.mark.parametrize(
    "text, answer",
    [
        ("2 * = ", None),
        ("so 3 + 4 = 7 and then 12", None),
        ("the result is $x = 7$, now", "7"),
        ("\\boxed{12", None),
        ("\\boxed{12}. Let us check", "12"),
        ("\\boxed{3}, or rather \\boxed{4", "3"),
        ("#### 12", None),
        ("#### 12\nSo", "12"),
        ("The answer is 12", None),
        ("The answer is 12. We", "12"),
        ("The answer is $\\frac{1}{2}$ since", "\\frac{1}{2}"),
        ("The answer is $\\frac{1", None),
        ("", None),
    ],
)
def test_a_cut_solution_has_an_answer_where_its_mark_is_complete(text, answer):
    found = extract(text, cut=True)
    assert found is answer if None in (found, answer) else compare(answer, found).equal
