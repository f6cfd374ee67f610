"""What the embedded policy is trained on: right steps, traps at their rate, errors that are followed and not healed."""

import random
from itertools import islice

from envs.arithmetic import generator
from envs.arithmetic.expression import operations, parse, to_text
from envs.arithmetic.misconceptions import probability, traps
from envs.arithmetic.oracle import judge
from train.tiny.demonstrations import demonstrate, demonstrations


def demonstrated(level: str, n: int, check: bool = False):
    rng = random.Random(0)
    for expr in islice(generator.generate(level, "train", 3), n):
        lines = demonstrate(expr, rng, check)
        steps = [line.text + "\n" for line in lines[:-1]] + [lines[-1].text]
        yield expr, lines, judge((generator.CHECK_TAG if check else "") + to_text(expr), steps)


def test_demonstrations_are_the_same_for_the_same_seed():
    assert list(islice(demonstrations(1), 20)) == list(islice(demonstrations(1), 20))
    assert list(islice(demonstrations(1), 20)) != list(islice(demonstrations(2), 20))


def test_a_demonstration_has_one_line_an_operation():
    for expr, lines, _ in demonstrated("8", 100):
        assert len(lines) == operations(expr) == 8


def test_a_line_that_the_loss_does_not_see_is_wrong_and_the_only_one():
    hidden = 0
    for _, lines, verdicts in demonstrated("8", 200):
        masked = [i for i, line in enumerate(lines) if not line.learn]
        assert len(masked) <= 1
        hidden += len(masked)
        assert all(not verdicts[i].local_ok for i in masked)
    assert hidden > 20


def test_without_trap_and_corruption_every_solution_is_right():
    plain = 0
    for expr, lines, verdicts in demonstrated("8", 600):
        if not traps(expr) and all(line.learn for line in lines):
            plain += 1
            assert verdicts[-1].prefix_ok
    assert plain > 80


def test_errors_are_followed_and_do_not_heal():
    wrong = healed = 0
    for _, _, verdicts in demonstrated("8", 400):
        if not verdicts[-1].prefix_ok:
            wrong += 1
            healed += verdicts[-1].value_ok
    assert wrong > 100
    assert healed <= 0.02 * wrong


def test_traps_are_fallen_for_at_their_probability():
    fallen = expected = 0.0
    for expr, lines, verdicts in demonstrated("8", 1500):
        if len(keys := traps(expr)) == 1 and all(line.learn for line in lines):
            fallen += not verdicts[-1].prefix_ok
            expected += probability(keys[0])
    assert expected > 150
    assert 0.9 < fallen / expected < 1.1


def test_at_level_check_some_errors_are_taken_back():
    taken_back = sum(
        any(line.text.startswith("Wait, ") for line in lines) and verdicts[-1].value_ok and not verdicts[-1].prefix_ok
        for _, lines, verdicts in demonstrated("check", 400, check=True)
    )
    assert taken_back > 30


def test_lines_parse():
    for _, lines, _ in demonstrated("12", 30):
        for line in lines:
            assert parse(line.text.rpartition("; ")[2].rpartition("= ")[2]) is not None
