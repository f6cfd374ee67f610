"""Units of measure that answers carry: names, factors to a common unit, and currencies."""

from __future__ import annotations

import re
from fractions import Fraction

# unit -> (factor to the dimension's first unit, {dimension: power})
_TABLE: dict[str, tuple[Fraction, dict[str, int]]] = {}


def _add(dimensions: str, factor: str, names: str) -> None:
    powers = {name.partition("^")[0]: int(name.partition("^")[2] or 1) for name in dimensions.split()}
    for name in names.split():
        _TABLE[name] = (Fraction(factor), powers)


for _line in """
length | 1 | m meter meters metre metres
length | 1000 | km kilometer kilometers kilometre kilometres kms
length | 1/100 | cm centimeter centimeters centimetre centimetres cms
length | 1/1000 | mm millimeter millimeters millimetre millimetres
length | 1/10 | dm decimeter decimeters
length | 254/10000 | in inch inches
length | 3048/10000 | ft foot feet
length | 9144/10000 | yd yard yards
length | 1609344/1000 | mi mile miles
mass | 1 | g gram grams gm
mass | 1000 | kg kilogram kilograms kilo kilos kgs
mass | 1/1000 | mg milligram milligrams
mass | 45359237/100000 | lb lbs pound pounds
mass | 45359237/1600000 | oz ounce ounces
mass | 1000000 | ton tons tonne tonnes
time | 1 | s sec secs second seconds
time | 60 | min mins minute minutes
time | 3600 | h hr hrs hour hours
time | 86400 | day days
time | 604800 | week weeks
time | 1/1000 | ms millisecond milliseconds
year | 1 | year years yr yrs
year | 1/12 | month months
length^3 | 1/1000 | L l liter liters litre litres
length^3 | 1/1000000 | mL ml milliliter milliliters cc
length^3 | 473176473/125000000000 | gal gallon gallons
length^2 | 316160658/78125 | acre acres
length^2 | 10000 | ha hectare hectares
length time^-1 | 1609344/3600000 | mph
length time^-1 | 1000/3600 | kph kmh kmph
dollar | 1 | dollar dollars usd
dollar | 1/100 | cent cents
euro | 1 | euro euros eur
sterling | 1 | gbp sterling
sterling | 1/100 | pence
yen | 1 | yen jpy 円
yuan | 1 | yuan rmb cny 元
rupee | 1 | rupee rupees rs inr
force | 1 | N newton newtons
energy | 1 | J joule joules
energy | 1000 | kJ
power | 1 | W watt watts
power | 1000 | kW
voltage | 1 | V volt volts
frequency | 1 | Hz hertz
pressure | 1 | Pa
degree | 1 | degree degrees deg °
radian | 1 | rad radian radians
percent | 1 | percent percentage pct %
""".strip().splitlines():
    _add(*(part.strip() for part in _line.split("|")))

_OTHER = frozenset(
    "units unit people persons students apples ways points square squared sq cubic cubed per times miles digits sides"
    " items pages books balls cards dollars sec km/h mi/h m/s ft/s cm² m²".split()
)
_POWERS = {"squared": 2, "square": 2, "sq": 2, "cubic": 3, "cubed": 3, "cu": 3}


def is_unit(word: str) -> bool:
    """Whether a run of at least two plain letters is a unit rather than a product of variables."""
    return len(word) > 1 and (word in _TABLE or word.lower() in _TABLE or word in _OTHER) and word not in ("in",)


def is_unit_symbol(letters: str) -> bool:
    """Whether letters that were read as symbols may be a unit after a plain number, as in `3s`."""
    return letters in ("m", "s", "g", "h", "L") or (len(letters) > 1 and letters in _TABLE)


Dimension = tuple[Fraction, tuple[tuple[str, int], ...]]


def dimension(unit: str) -> Dimension | None:
    """(factor, ((dimension, power), ...)) of a unit's text such as `cm^2` or `kilometers per hour`; None if unknown."""
    text = (
        re.sub(r"[{}()\\]|\btext\b|\bmathrm\b", "", unit)
        .replace("·", " ")
        .replace("cdot", " ")
        .replace("*", " ")
        .strip()
        .rstrip(".")
    )
    factor = Fraction(1)
    powers: dict[str, int] = {}
    sign = pending = 1
    last: tuple[int, Fraction, dict[str, int]] | None = None

    def count(times: int, of: Fraction, dimensions: dict[str, int]) -> None:
        nonlocal factor
        factor *= of**times
        for name, power in dimensions.items():
            powers[name] = powers.get(name, 0) + times * power

    for part in re.findall(r"[A-Za-z°%元円]+|\^ ?-?\d{1,2}|/|²|³", text):
        if part in ("/", "per"):
            sign = -1
        elif part in ("a", "an", "of", "each", "every"):
            continue
        elif part in ("squared", "cubed", "²", "³") or part.startswith("^"):
            exponent = {"squared": 2, "cubed": 3, "²": 2, "³": 3}.get(part) or int(part[1:])
            if last is None or not 0 < abs(exponent) < 10:
                return None
            count(last[0] * (exponent - 1), last[1], last[2])
        elif part in _POWERS:
            pending = _POWERS[part]
        else:
            found = _TABLE.get(part) or _TABLE.get(part.lower())
            if found is None:
                return None
            last = (sign * pending, *found)
            count(*last)
            pending = 1
    if last is None:
        return None
    return factor, tuple(sorted((name, power) for name, power in powers.items() if power))


CURRENCIES = {"dollar": "dollar", "euro": "euro", "pounds": "sterling", "yen": "yen", "rupee": "rupee"}
