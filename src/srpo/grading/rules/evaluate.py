"""Exact values of expressions, and whether two expressions are the same function.

Rational arithmetic is exact (`Fraction`); roots, π, logarithms and angles fall back to floating point. Work is bounded:
powers and factorials that would grow beyond a few thousand bits are refused, not computed.

    >>> from srpo.grading.rules.syntax import parse_formula
    >>> compute(parse_formula("1/3 + 1/6"))
    Fraction(1, 2)
    >>> identical(parse_formula("(x+1)^2"), parse_formula("x^2+2x+1"))
    True
"""

import cmath
import math
from collections.abc import Mapping
from fractions import Fraction

from srpo.grading.rules.nodes import FUNCTIONS, Op

Constant = Fraction | float | complex

_ARITHMETIC = frozenset(("abs", "sqrt", "cbrt", "max", "min"))
MAX_BITS = 4096
REL_TOLERANCE = 1e-10
"""Two irrational values that agree this well are taken as equal."""
DECIMAL_TOLERANCE = 1e-8
"""A decimal of 8 or more places may stand for the exact value that it rounds."""
LONG_DECIMAL = 8


def magnitude(value: Constant) -> float:
    """|value|; raises OverflowError for fractions that no float can hold."""
    return abs(value) if isinstance(value, complex) else abs(float(value))


class Undecided(Exception):  # noqa: N818 - control flow inside the grader
    """The value is too large to compute, or undefined."""


def _bounded(value: Constant) -> Constant:
    if isinstance(value, Fraction):
        if value.numerator.bit_length() > MAX_BITS or value.denominator.bit_length() > MAX_BITS:
            raise Undecided
        return value
    if isinstance(value, complex):
        if abs(value.imag) < 1e-13 * max(1.0, abs(value.real)):
            value = value.real
        else:
            return value
    if not math.isfinite(value):
        raise Undecided
    return value


def _integer_root(number: int, degree: int) -> int | None:
    if degree == 2:
        root = math.isqrt(number)
        return root if root * root == number else None
    root = round(number ** (1 / degree)) if number < 1 << 1000 else 0
    return root if root**degree == number else None


def _root(value: Constant, degree: int) -> Constant:
    if isinstance(value, Fraction):
        sign = -1 if value < 0 and degree % 2 else 1
        if sign * value >= 0:
            above = _integer_root(abs(value.numerator), degree)
            below = _integer_root(value.denominator, degree)
            if above is not None and below is not None:
                return Fraction(sign * above, below)
        if sign < 0:
            return -math.pow(abs(float(value)), 1 / degree)
    if isinstance(value, complex) or value < 0:
        return cmath.exp(cmath.log(value) / degree)
    return math.pow(value, 1 / degree) if degree != 2 else math.sqrt(value)


def _power(base: Constant, exponent: Constant) -> Constant:
    if isinstance(exponent, Fraction):
        if exponent.denominator == 1:
            count = int(exponent)
            if isinstance(base, Fraction):
                size = max(base.numerator.bit_length(), base.denominator.bit_length())
                if size * abs(count) > MAX_BITS and abs(base) != 1 and base != 0:
                    raise Undecided
            return base**count
        if exponent.denominator <= 12 and abs(exponent.numerator) <= 64:
            return _power(_root(base, exponent.denominator), Fraction(exponent.numerator))
    if isinstance(base, complex) or isinstance(exponent, complex) or base < 0:
        return complex(complex(base) ** complex(exponent))
    return math.pow(base, exponent)


def _factorial(value: Constant) -> Constant:
    if isinstance(value, Fraction) and value.denominator == 1 and 0 <= value <= 400:
        return Fraction(math.factorial(int(value)))
    if isinstance(value, complex) or magnitude(value) > 150:
        raise Undecided
    return math.gamma(float(value) + 1)


def _binomial(above: Constant, below: Constant) -> Constant:
    if isinstance(above, Fraction) and isinstance(below, Fraction) and above.denominator == below.denominator == 1:
        if 0 <= below <= above <= 1000:
            return Fraction(math.comb(int(above), int(below)))
        raise Undecided
    return _arith_div(_factorial(above), _arith_mul(_factorial(below), _factorial(_arith_add(above, -below))))


def _arith_add(left: Constant, right: Constant) -> Constant:
    return left + right


def _arith_mul(left: Constant, right: Constant) -> Constant:
    return left * right


def _arith_div(left: Constant, right: Constant) -> Constant:
    return left / right


def _logarithm(args: list[Constant], default_base: float) -> Constant:
    def ln(value: Constant) -> Constant:
        return math.log(value) if not isinstance(value, complex) and value > 0 else cmath.log(complex(value))

    base: Constant = args[1] if len(args) > 1 else default_base
    if len(args) > 1 or default_base == 10:
        ratio = _arith_div(ln(args[0]), ln(base))
        nearest = round(ratio.real)
        exact = isinstance(base, Fraction | float) and Fraction(base) ** nearest == args[0]
        return Fraction(nearest) if exact and magnitude(ratio - nearest) < 1e-12 else ratio
    return ln(args[0])


_TRIGONOMETRIC = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "cot": lambda x: 1 / cmath.tan(x),
    "sec": lambda x: 1 / cmath.cos(x),
    "csc": lambda x: 1 / cmath.sin(x),
    "sinh": cmath.sinh,
    "cosh": cmath.cosh,
    "tanh": cmath.tanh,
    "exp": cmath.exp,
    **dict.fromkeys(("arcsin", "asin"), cmath.asin),
    **dict.fromkeys(("arccos", "acos"), cmath.acos),
    **dict.fromkeys(("arctan", "atan"), cmath.atan),
}


def _call(name: str, args: list[Constant]) -> Constant:  # noqa: C901, PLR0911 - a table
    match name:
        case "sqrt":
            return _root(args[0], 2)
        case "cbrt":
            return _root(args[0], 3)
        case "root":
            degree = args[1]
            if not isinstance(degree, Fraction) or degree.denominator != 1 or not 2 <= degree <= 64:
                return _power(args[0], _arith_div(Fraction(1), degree))
            return _root(args[0], int(degree))
        case "abs":
            return abs(args[0]) if isinstance(args[0], Fraction) else magnitude(args[0])
        case "fact":
            return _factorial(args[0])
        case "binom":
            return _binomial(args[0], args[1])
        case "ln":
            return _logarithm(args, math.e)
        case "log" | "lg":
            return _logarithm(args, 10)
        case "max" | "min":
            return (max if name == "max" else min)(args, key=lambda value: value.real)
        case _ if name in _TRIGONOMETRIC:
            return complex(_TRIGONOMETRIC[name](complex(args[0])))
    raise Undecided


def _evaluate(node: Op, values: Mapping[str, Constant]) -> Constant:
    if node.op == "num":
        return node.number
    if node.op == "sym":
        return math.pi if node.name == "π" else math.e if node.name == "e" else values[node.name]
    args = [_evaluate(child, values) for child in node.args]
    match node.op:
        case "add":
            result = _arith_add(args[0], args[1])
        case "mul":
            result = _arith_mul(args[0], args[1])
        case "div":
            result = _arith_div(args[0], args[1])
        case "neg":
            result = -args[0]
        case "pow":
            result = _power(args[0], args[1])
        case name:
            result = _call(name, args)
    return _bounded(result)


def compute(node: Op, values: Mapping[str, Constant] | None = None) -> Constant | None:
    """Return the value of `node`; None when it is undefined, too large, or has a variable that `values` lacks."""
    try:
        return _evaluate(node, values or {})
    except (Undecided, ArithmeticError, ValueError, KeyError, TypeError, RecursionError):
        return None


def variables(node: Op) -> frozenset[str]:
    """Names of the variables in `node` (π and e are constants)."""
    if node.op == "sym":
        return frozenset() if node.name in ("π", "e") else frozenset((node.name,))
    return frozenset().union(*(variables(child) for child in node.args)) if node.args else frozenset()


def close(left: Constant, right: Constant, *, decimals: int = 0) -> bool:
    """Equality of values: exact for fractions, within rounding for irrational values and for long decimals."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        if left == right:
            return True
        # a long decimal rounds a value that it cannot hold (1/3); 2.0000000001 is no rounding of 2
        unit = 10 ** min(decimals, 400)
        if decimals < LONG_DECIMAL or (left * unit).denominator == (right * unit).denominator == 1:
            return False
    tolerance = DECIMAL_TOLERANCE if decimals >= LONG_DECIMAL - 1 else REL_TOLERANCE
    try:
        distance = magnitude(left - right)
        return distance <= tolerance * max(magnitude(left), magnitude(right)) or distance < 1e-14
    except OverflowError:
        return False


_SAMPLES = tuple(Fraction(a, b) for a, b in ((7, 5), (3, 7), (13, 6), (5, 11), (17, 9), (2, 13), (19, 8), (11, 17)))
_TRIALS = 6
_NEEDED = 2


def sample_values(names: frozenset[str], trial: int) -> dict[str, Constant]:
    """Values for the variables in trial number `trial`: positive in the first four trials, some negative afterwards."""
    values: dict[str, Constant] = {}
    for index, name in enumerate(sorted(names)):
        if name == "i":
            values[name] = 1j
            continue
        value = _SAMPLES[(3 * index + 5 * trial + 1) % len(_SAMPLES)] + index // len(_SAMPLES)
        values[name] = -value if trial >= 4 and (index + trial) % 2 == 0 else value
    return values


def has_function(node: Op) -> bool:
    """Is there a function, as sin or log, in a formula?"""
    return (node.op in FUNCTIONS and node.op not in _ARITHMETIC) or any(map(has_function, node.args))


def identical(left: Op, right: Op) -> bool | None:
    """Are two expressions the same function of their variables? None when they cannot be compared."""
    names = variables(left) | variables(right)
    if not names:
        a, b = compute(left), compute(right)
        return None if a is None or b is None else close(a, b)
    agreed = 0
    for trial in range(_TRIALS):
        values = sample_values(names, trial)
        a, b = compute(left, values), compute(right, values)
        if a is None or b is None:
            continue
        # outside the real domain the two sides may take different branches (log x^2 and 2 log x)
        if trial >= 4 and "i" not in names and (isinstance(a, complex) or isinstance(b, complex)):
            continue
        if not close(a, b):
            return False
        agreed += 1
    return True if agreed >= _NEEDED else None
