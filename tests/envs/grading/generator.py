"""Pairs of answers with known values that are different, in every notation that the grammar reads.

A number is written with all values that the grader's policy lets the text have: `20%` has 20 and 0.2. Two texts whose
values are disjoint must never be equal; neither must an equation and an expression.
"""

import math
import random
from dataclasses import dataclass
from fractions import Fraction

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty"
).split()
MULTIPLIERS = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
UNITS = ("cm", "meters", "hours", "apples", "square units", "miles per hour")
EQUATION_SIDES = ("x^2", "11a+c", "2x+1", "\\frac{x}{2}", "n!", "\\binom{n}{2}", "3y", "x^2+y^2", "\\sqrt{x}", "2^n",
                  "a+b", "x-4", "\\lfloor x \\rfloor", "5ab", "\\log_2 x", "\\sin x", "-x", "n \\bmod 7")  # fmt: skip


@dataclass(frozen=True)
class Written:
    """A number as text. `values`: all that it may stand for; `kind` says what it cannot be compared with."""

    text: str
    values: tuple[float, ...]
    kind: str = ""


def grouped(number: int, separator: str) -> str:
    """Digits in groups of three."""
    return f"{number:,}".replace(",", separator)


def decimal(value: Fraction) -> str | None:
    """The decimal notation where it ends within 8 places."""
    for places in range(9):
        scaled = value * 10**places
        if scaled.denominator == 1:
            digits = str(abs(scaled.numerator)).rjust(places + 1, "0")
            sign = "-" if value < 0 else ""
            return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)
    return None


def integers(n: int, rng: random.Random) -> list[Written]:
    """Ways to write an integer."""
    v = (float(n),)
    size, sign = abs(n), "-" if n < 0 else ""
    shift = rng.randrange(1, 60)
    texts = [
        str(n), f"{n}.0", f"{n}.000", f"\\text{{{n}}}", f"{n - shift}+{shift}", f"{n + shift}-{shift}",
        f"({n})", f"{{{n}}}", f"\\boxed{{{n}}}", f"${n}$", f"{sign}0{size}", f"\\frac{{{n * shift}}}{{{shift}}}",
        f"{n * shift}/{shift}", f"x = {n}", f"{n} = x", f"\\text{{Area}} = {n}", f"f(3) = {n}", f"{n}-0",
        f"{sign}{size}.0e0", f"\\lfloor {n}.5 \\rfloor", f"\\lceil {n - 1}.5 \\rceil", f"\\{{{n}\\}}",
        f"{sign}\\sqrt{{{size**2}}}", f"{sign}|{-size}|", f"{sign}|{size}|", f"{sign}\\sqrt[3]{{{size**3}}}",
    ]  # fmt: skip
    if size >= 1000:
        texts += [sign + grouped(size, s) for s in (",", "{,}", "\\,", "\\ ", " ", "~", ",\\!")]
        texts += [sign + grouped(size, ",") + ".0", f"x = {sign}{grouped(size, ',')}"]
        texts += [sign + grouped(size, ".") + ",0"]
    if 0 <= n <= 20:
        texts += [WORDS[n], f"\\text{{{WORDS[n]}}}"]
        texts += [f"\\log_2 {{{2**n}}}", f"\\log_{{3}} {3**n}"]
    if n >= 0:
        texts += [f"+{n}", f"{n}^1", f"{n}^{{1}}", f"\\binom{{{n + 1}}}{{{n}}} - 1", f"{n} \\bmod {n + shift}"]
        texts += [f"\\sum_{{k=1}}^{{{n}}} 1"] if n < 300 else []
    for base in (2, 3, 5, 8, 12, 16):
        if n > 0 and rng.random() < 0.3:
            digits = in_base(n, base)
            values = v + ((float(digits),) if digits.isdigit() else ())
            return [*(Written(t, v) for t in texts), Written(f"{digits}_{{{base}}}", values, f"base {base}")]
    found = [Written(t, v) for t in texts]
    for word, factor in MULTIPLIERS.items():
        found.append(Written(f"{n} \\text{{ {word}}}", (float(n * factor),)))
    return found


def in_base(n: int, base: int) -> str:
    """Digits of a positive integer."""
    digits = ""
    while n:
        digits, n = "0123456789ABCDEF"[n % base] + digits, n // base
    return digits


def numbers(value: Fraction, rng: random.Random) -> list[Written]:
    """Ways to write a rational number."""
    v = float(value)
    top, bottom = value.numerator, value.denominator
    k = rng.randrange(2, 9)
    texts = [
        f"\\frac{{{top}}}{{{bottom}}}", f"{top}/{bottom}", f"\\dfrac{{{top * k}}}{{{bottom * k}}}",
        f"{{{top} \\over {bottom}}}", f"{top} \\div {bottom}", f"\\frac{{{-top}}}{{{-bottom}}}", f"{top}⁄{bottom}",
        f"{top} \\cdot {bottom}^{{-1}}", f"{top}·{bottom}^{{-1}}", f"\\left(\\frac{{{top}}}{{{bottom}}}\\right)",
        f"P = \\frac{{{top}}}{{{bottom}}}", f"\\frac{{{top}}}{{{bottom}}} = y", f"\\frac{{{2 * top}}}{{{bottom}}}/2",
    ]  # fmt: skip
    found = [Written(text, (v,)) for text in texts]
    if value > 0:
        whole, rest = divmod(top, bottom)
        if whole and rest:
            found += [Written(f"{whole}\\frac{{{rest}}}{{{bottom}}}", (v,)), Written(f"{whole} {rest}/{bottom}", (v,))]
        if bottom < 20:
            found.append(Written(f"{top}:{bottom}", () if is_clock(top, bottom) else (v,), "ratio"))
            found.append(Written(f"{top * k}:{bottom * k}", () if is_clock(top * k, bottom * k) else (v,), "ratio"))
        found.append(Written(f"\\sqrt{{\\frac{{{top**2}}}{{{bottom**2}}}}}", (v,)))
        found.append(Written(f"(\\frac{{{bottom}}}{{{top}}})^{{-1}}", (v,)))
    plain = decimal(value)
    if plain is not None:
        found += decimals(plain, value, rng)
    elif abs(value) < 1000:
        found += repeating(value)
    for unit in UNITS:
        found.append(Written(f"\\frac{{{top}}}{{{bottom}}} \\text{{ {unit}}}", (v,), unit))
    found.append(Written(f"\\frac{{{top}}}{{{bottom}}}\\pi", (v * math.pi,)))
    found.append(Written(f"{top}\\sqrt{{2}}/{bottom}", (v * math.sqrt(2),)))
    found.append(Written(f"\\frac{{{top}\\pi}}{{{bottom}}}", (v * math.pi,)))
    found.append(Written(f"\\frac{{{top}}}{{{bottom}}} e", (v * math.e,)))
    found.append(Written(f"\\frac{{{top}}}{{{bottom}}} \\ln 2", (v * math.log(2),)))
    return found


def is_clock(hours: int, minutes: int) -> bool:
    """Whether a ratio looks like a time of day, which is no number."""
    return hours <= 24 and 10 <= minutes < 60


def decimals(plain: str, value: Fraction, rng: random.Random) -> list[Written]:
    """Ways to write a decimal that ends."""
    v = float(value)
    whole, _, part = plain.partition(".")
    texts = [plain, f"{plain}0" if part else f"{plain}.0", f"\\text{{{plain}}}", f"x = {plain}", f"\\$ {plain}"]
    if part:
        texts.append(f"{whole}{{,}}{part}" if len(part) != 3 or whole.strip("-") == "0" else plain)
        if len(part) != 3 or whole.strip("-") == "0":
            texts.append(f"{whole},{part}")
        if whole.strip("-0") and abs(value) >= 1000:
            texts.append(f"{grouped(int(whole), '.')},{part}")
            texts.append(f"{grouped(int(whole), ',')}.{part}")
    exponent = rng.randrange(-3, 6)
    mantissa = decimal(value / Fraction(10) ** exponent)
    if mantissa is not None:
        texts += [
            f"{mantissa} \\times 10^{{{exponent}}}",
            f"{mantissa}e{exponent}",
            f"{mantissa}\\cdot10^{{{exponent}}}",
        ]
        texts += [f"{mantissa} × 10{str(exponent).translate(SUPERSCRIPTS)}"]
    found = [Written(text, (v,)) for text in texts]
    percent = decimal(value * 100)
    if percent is not None:
        values = (v, v * 100)
        found += [Written(f"{percent}\\%", values, "percent"), Written(f"{percent} percent", values, "percent")]
        found += [Written(f"{percent}%", values, "percent")]
    found += [Written(f"{plain}{sign}", (v, math.radians(v)), "degree") for sign in ("^\\circ", "°")]
    found += [Written(f"{plain}\\text{{ {unit}}}", (v,), unit) for unit in UNITS]
    found += [Written(f"{plain} {unit}", (v,), unit) for unit in ("cm", "apples")]
    found += [Written(f"{plain}\\pi", (v * math.pi,)), Written(f"{plain}π", (v * math.pi,))]
    found += [Written(f"{plain}i", (), "imaginary"), Written(f"{plain}x", (), "expression")]
    return found


def repeating(value: Fraction) -> list[Written]:
    """A decimal that repeats within 12 places, in its notations."""
    if value < 0:
        return []
    whole, rest = divmod(value.numerator, value.denominator)
    seen, digits = {}, ""
    while rest and rest not in seen and len(digits) < 13:
        seen[rest] = len(digits)
        digit, rest = divmod(rest * 10, value.denominator)
        digits += str(digit)
    if rest not in seen:
        return []
    fixed, again = digits[: seen[rest]], digits[seen[rest] :]
    texts = [f"{whole}.{fixed}\\overline{{{again}}}", f"{whole}.{fixed}({again})", f"{whole}.{fixed}{again * 4}\\ldots"]
    return [Written(text, (float(value),)) for text in texts]


def lists(value: Fraction, other: Fraction, rng: random.Random) -> list[Written]:
    """Two numbers side by side: never one number."""
    a, b = (decimal(v) or f"\\frac{{{v.numerator}}}{{{v.denominator}}}" for v in (value, other))
    forms = ("%s, %s", "(%s, %s)", "[%s, %s]", "\\{%s, %s\\}", "%s \\text{ and } %s", "%s; %s",
             "x = %s, y = %s", "\\begin{pmatrix} %s \\\\ %s \\end{pmatrix}",
             "%s \\text{ or } %s", "%s \\le x < %s", "%s + %si")  # fmt: skip
    return [Written(form % (a, b), (), "several") for form in forms]


def neighbours(value: Fraction, rng: random.Random) -> Fraction:
    """A different number that a careless reading takes for the first."""
    options = [value * scale for scale in (1000, 10, 100, Fraction(1, 1000), Fraction(1, 10), Fraction(1, 100), -1)]
    options += [value + 1, value - 1]
    if value:
        options += [1 / value, value**2]
    text = str(abs(value.numerator))
    options.append(Fraction(int("".join(rng.sample(text, len(text)))), value.denominator))
    options.append(Fraction(int(text[:1]), value.denominator))
    return rng.choice(options)


def some_value(rng: random.Random) -> Fraction:
    """Integers, short decimals and fractions of all sizes."""
    draw = rng.random()
    if draw < 0.5:
        return Fraction(rng.choice([rng.randrange(1, 30), rng.randrange(1, 2000), rng.randrange(1000, 10**7)]))
    if draw < 0.75:
        return Fraction(rng.randrange(1, 10**5), 10 ** rng.randrange(1, 5))
    return Fraction(rng.randrange(1, 400), rng.randrange(2, 60)) * rng.choice([1, 1, 1, -1])


def writings(value: Fraction, rng: random.Random) -> list[Written]:
    """All ways to write a number."""
    found = numbers(value, rng)
    return found + integers(value.numerator, rng) if value.denominator == 1 and abs(value) < 10**12 else found


def distinct(a: Written, b: Written) -> bool:
    """Whether no value of one is close to a value of the other: 1e-4, beyond all rounding that the policy allows."""
    if not a.values and not b.values:
        return False
    if a.kind and a.kind == b.kind:  # the same sign on both: its other values do not count
        return a.text != b.text and not _near(a.values[0], b.values[0]) if a.values and b.values else False
    if a.kind and b.kind and "several" not in (a.kind, b.kind):  # 3 m and 300 cm
        return False
    return not any(_near(x, y) for x in a.values for y in b.values)


def _near(x: float, y: float) -> bool:
    return abs(x - y) <= 1e-4 * max(abs(x), abs(y))


def different_numbers(rng: random.Random) -> tuple[str, str]:
    """Two texts of different numbers, or of a number and something that is none."""
    while True:
        value = some_value(rng)
        other = neighbours(value, rng) if rng.random() < 0.7 else some_value(rng)
        if value == other:
            continue
        first = rng.choice(writings(value, rng))
        second = rng.choice(lists(value, other, rng) if rng.random() < 0.1 else writings(other, rng))
        if distinct(first, second):
            return first.text, second.text


def equation_and_expression(rng: random.Random) -> tuple[str, str]:
    """An equation that names nothing, and one of its sides or a number in it."""
    value = rng.choice(writings(Fraction(rng.randrange(2, 3000)), rng)).text
    while "=" in value or "\\{" in value or "%" in value:
        value = rng.choice(writings(Fraction(rng.randrange(2, 3000)), rng)).text
    side, another = rng.sample(EQUATION_SIDES, 2)
    left, right = rng.choice([(value, side), (side, value), (side, another)])
    op = rng.choice(["=", "=", "=", "<", "\\le", ">", "\\ne", "\\equiv"])
    return f"{left} {op} {right}", rng.choice([left, right, side, value])


def different_expressions(rng: random.Random) -> tuple[str, str]:
    """Two expressions, or two sets of numbers, that differ: in part of their domain, by a constant or at an end."""
    x, y = rng.sample("abcnxyz", 2)
    a, b, c = rng.randrange(1, 200), rng.randrange(2, 40), rng.randrange(1, 9)
    mixed = rng.choice([f"{x}{y}", f"{x}-{y}", f"{x}-{a}", f"{a}-{x}", f"{b}{x}+{c}{y}", f"{x}^3", f"{x}{y}-{a}"])
    any_sign = rng.choice([mixed, f"{x}^2+{a}", f"\\frac{{{x}}}{{{b}}}", f"2^{{{x}}}", f"{b}{x}{y}", f"{x}^2{y}^3"])
    low, high = sorted(rng.sample(range(-60, 60), 2))
    return rng.choice(
        [
            (f"|{mixed}|", mixed), (f"\\sqrt{{({mixed})^2}}", mixed), (f"|{mixed}|", f"-({mixed})"),
            (f"\\max({mixed}, 0)", mixed), (f"\\lfloor {mixed} \\rfloor", mixed), (f"{any_sign}", f"{any_sign}+{a}"),
            (any_sign, f"{b}({any_sign})"), (any_sign, f"-({any_sign})"), (any_sign, f"({any_sign})^2+1"),
            (f"\\lfloor {mixed} \\rfloor", f"\\lfloor {mixed} + 0.{c} \\rfloor"), (f"{x}^2", f"{y}^2"),
            (f"{x} > {low}", f"{x} \\ge {low}"), (f"{x} > {low}", f"{x} > {high}"), (f"{x} > {low}", f"{y} > {low}"),
            (f"{x}^2 > {a}", f"{x}^2 \\ge {a}"), (f"{x}^2 > {a}", f"{x}^2 > {a}.{c}"),
            (f"{x}^3 < {a + 1}", f"{x} < {a + 1}"),
            (f"[{low}, {high}]", f"[{low}, {high})"), (f"({low}, {high})", f"{low} < {x} \\le {high}"),
            (f"{x}^3 > {a}", f"{x} \\ge \\sqrt[3]{{{a}}}"), (f"|{x}| < {b}", f"-{b} < {x} < {b}.{c}"),
            (f"{low} < {x} < {high}", f"{low} < {x} < {high}, {x} \\ne {(low + high) / 2:g}")
            if high - low > 1 else (f"{x} \\ne {low}", f"{x} \\ne {high}"),
            (f"{x} = {a}", f"{y} = {a}"), (f"{x}_1 = {a}", f"{x}_2 = {a}"), (f"{x} \\approx {a}", f"{a + 1}"),
            (f"{a} \\approx {a + b}", f"{a + b}"), (f"{a}^\\circ C", f"{a}^\\circ F"),
            (f"{a} \\text{{ or more}}", f"{a}"), (f"{b} \\text{{ squared}}", f"{b}"),
        ]
    )  # fmt: skip
