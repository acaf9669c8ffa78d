r"""A small recursive-descent parser for LaTeX and ASCII mathematics, as it stands in answers.

It reads what `normalise.clean` writes and builds `Op` trees; nothing is ever handed to `eval`. Two modes:
`parse_formula` wants the whole text and allows variables; `parse_constant_prefix` reads a number such as `2\sqrt{3}` or
`5*10^3` and hands back the rest of the text, where a unit may stand. Work is linear; size and nesting are bounded.

    >>> parse_formula(r"2\sqrt{3}").op
    'mul'
    >>> parse_formula("2 +") is None
    True
"""

from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from srpo.grading.rules.nodes import (
    CONSTANTS,
    ENGLISH,
    FUNCTIONS,
    GREEK_NAMES,
    PREFIX_FUNCTIONS,
    Op,
    Unreadable,
    number_node,
    tokens_of,
)
from srpo.grading.rules.series import JOINED_BY, MAX_NODES, read_bounds, size_of, written_out

_MAX_DEPTH = 30


class ConstantPrefix(NamedTuple):
    """A constant at the start of a text, and what follows it."""

    node: Op
    rest: str


class _Parser:
    def __init__(self, text: str, *, variables: bool) -> None:
        self.text = text
        self.tokens = tokens_of(text)
        self.at = 0
        self.depth = 0
        self.variables = variables
        self.bars = 0  # open |..|
        self.in_function = 0
        self.room = MAX_NODES

    # -- looking at tokens
    def peek(self) -> str:
        return self.tokens[self.at].text if self.at < len(self.tokens) else ""

    def kind(self) -> str:
        return self.tokens[self.at].kind if self.at < len(self.tokens) else ""

    def take(self, text: str) -> bool:
        if self.peek() == text:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.take(text):
            raise Unreadable(f"no {text!r}")

    # -- grammar
    def sum(self) -> Op:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise Unreadable("nested too deeply")
        negative = self.sign()
        left = self.product()
        if negative:
            left = Op("neg", (left,))
        while self.peek() in ("+", "-"):
            before = self.at
            minus = self.peek() == "-"
            self.at += 1
            try:
                right = self.product_signed()
            except Unreadable:
                if self.variables or self.depth > 1:
                    raise
                self.at = before
                break
            left = Op("add", (left, Op("neg", (right,)) if minus else right))
        self.depth -= 1
        return left

    def sign(self) -> bool:
        negative = False
        while self.peek() in ("+", "-"):
            negative ^= self.peek() == "-"
            self.at += 1
        return negative

    def product_signed(self) -> Op:
        return Op("neg", (self.product(),)) if self.sign() else self.product()

    def product(self) -> Op:
        left = self.power()
        while True:
            before, depth = self.at, self.depth
            operator = self.peek()
            explicit = operator in ("*", "/")
            if explicit:
                self.at += 1
            elif not self.starts_factor():
                return left
            try:
                right = Op("neg", (self.power(),)) if explicit and self.sign() else self.power()
            except Unreadable:
                if self.variables or depth > 1:
                    raise
                self.at, self.depth = before, depth
                return left
            left = Op("div" if operator == "/" else "mul", (left, right))

    def starts_factor(self) -> bool:
        kind, text = self.kind(), self.peek()
        if kind == "num":
            # "5 6" is two answers, not thirty; ")5" and "π2" are products
            return self.tokens[self.at - 1].kind != "num"
        if kind == "cmd":
            return text in ("\\frac", "\\sqrt", "\\binom") or (self.variables and text in JOINED_BY)
        if kind == "name":
            return self.variables or text in CONSTANTS or text in FUNCTIONS
        if text == "|":
            return self.variables and not self.bars
        return (
            text in ("(", "{")
            or text == "π"
            or (text == "[" and self.variables)
            or (self.variables and _is_letter(text))
        )

    def power(self) -> Op:
        base = self.postfix(self.primary())
        if self.take("^"):
            exponent = self.exponent()
            return self.postfix(Op("pow", (base, exponent)))
        return base

    def exponent(self) -> Op:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise Unreadable("nested too deeply")
        negative = self.sign()
        value = self.power()
        self.depth -= 1
        return Op("neg", (value,)) if negative else value

    def postfix(self, node: Op) -> Op:
        while True:
            if self.peek() == "!":
                self.at += 1
                node = Op("fact", (node,))
            elif self.peek() == "°" and (self.depth > 1 or self.variables):
                self.at += 1
                if not self.in_function:
                    continue  # degrees throughout: 180°-2x
                node = Op("mul", (node, Op("div", (Op("sym", name="π"), Op("num", number=Fraction(180))))))
            else:
                return node

    def primary(self) -> Op:
        kind, text = self.kind(), self.peek()
        if kind == "num":
            return self.number()
        if text in ("(", "{", "["):
            self.at += 1
            bars, self.bars = self.bars, 0
            inside = self.sum()
            self.bars = bars
            self.expect({"(": ")", "{": "}", "[": "]"}[text])
            return inside
        if text == "|":
            self.at += 1
            self.bars += 1
            inside = self.sum()
            self.expect("|")
            self.bars -= 1
            return Op("abs", (inside,))
        if kind == "cmd":
            return self.command()
        if kind == "name":
            return self.word()
        if text == "π" or (self.variables and _is_letter(text)):
            self.at += 1
            return self.subscript(text) if text != "π" else Op("sym", name="π")
        raise Unreadable(f"unexpected {text!r}")

    def number(self) -> Op:
        whole = number_node(self.tokens[self.at].text)
        token = self.tokens[self.at]
        self.at += 1
        if whole.number.denominator == 1 and token.text.isdigit():
            part = self.mixed_part()
            if part is not None:
                return Op("add", (whole, part))
        return whole

    def mixed_part(self) -> Op | None:
        r"""The `1/2` of `3 1/2` or of `3\frac{1}{2}`; only proper fractions of integers make a mixed number."""
        rest = self.tokens[self.at : self.at + 7]
        texts = [token.text for token in rest]
        if texts[:1] == ["\\frac"] and texts[1:2] == ["{"] and texts[3:5] == ["}", "{"] and texts[6:7] == ["}"]:
            above, below, used = texts[2], texts[5], 7
        elif len(texts) >= 2 and texts[0] == "\\frac" and texts[1].isdigit() and len(texts[1]) == 2:
            above, below, used = texts[1][0], texts[1][1], 2
        elif len(texts) >= 3 and rest[0].spaced and texts[1] == "/":
            above, below, used = texts[0], texts[2], 3
        else:
            return None
        if not (above.isdigit() and below.isdigit()) or len(below) > 6 or int(above) >= int(below):
            return None
        self.at += used
        return Op("num", number=Fraction(int(above), int(below)))

    def command(self) -> Op:
        text = self.peek()
        self.at += 1
        if text == "\\frac":
            above = self.argument()
            return Op("div", (above, self.argument()))
        if text == "\\binom":
            above = self.argument()
            return Op("binom", (above, self.argument()))
        if text == "\\sqrt":
            degree = None
            if self.take("["):
                degree = self.sum()
                self.expect("]")
            inside = self.root_argument()
            return Op("sqrt", (inside,)) if degree is None else Op("root", (inside, degree))
        if text in JOINED_BY and self.variables:
            index, low, high = read_bounds(self.take, self.index, self.integer)
            node = written_out(text, index, low, high, self.product_signed(), self.room)
            self.room -= size_of(node)
            return node
        raise Unreadable(f"unknown command {text!r}")

    def index(self) -> str:
        """The letter that a sum runs over."""
        text = self.peek()
        if not (text.isascii() and text.isalpha() and len(text) == 1) or text in CONSTANTS:
            raise Unreadable("no index")
        self.at += 1
        return text

    def integer(self) -> int:
        """A bound of a sum."""
        negative, text = self.sign(), self.peek()
        if not (text.isascii() and text.isdigit()) or len(text) > 4:
            raise Unreadable("no plain bound")
        self.at += 1
        return -int(text) if negative else int(text)

    def argument(self) -> Op:
        r"""One LaTeX argument: a group, or a single digit or sign (`\frac12`)."""
        if self.kind() == "num":
            token = self.tokens[self.at]
            if len(token.text) > 1:
                self.tokens[self.at] = token._replace(text=token.text[1:], start=token.start + 1, spaced=False)
                if not token.text[0].isdigit():
                    raise Unreadable("a decimal without a group")
            else:
                self.at += 1
            return number_node(token.text[0])
        return self.primary()

    def root_argument(self) -> Op:
        if self.kind() == "num":
            self.at += 1
            return number_node(self.tokens[self.at - 1].text)
        return self.primary()

    def word(self) -> Op:
        token = self.tokens[self.at]
        text = token.text
        if text in FUNCTIONS or (text.lower() in FUNCTIONS and len(text) > 2):
            self.at += 1
            return self.function(text.lower())
        if text in CONSTANTS:
            self.at += 1
            return self.subscript(text) if self.variables and text == "e" else Op("sym", name=CONSTANTS[text])
        if not self.variables:
            raise Unreadable("a word")
        if text in GREEK_NAMES:
            self.at += 1
            return self.subscript(text)
        for name in PREFIX_FUNCTIONS:
            if text.startswith(name) and len(text) <= len(name) + 2:
                self.tokens[self.at] = token._replace(text=text[len(name) :], start=token.start + len(name))
                return self.function(name)
        if len(text) > 3 or text.lower() in ENGLISH:
            raise Unreadable("a word")
        if len(text) > 1:
            # "xy" is x times y: hand out one letter, leave the others
            self.tokens[self.at] = token._replace(text=text[1:], start=token.start + 1, spaced=False)
            return Op("sym", name=text[0])
        self.at += 1
        return self.subscript(text)

    def subscript(self, name: str) -> Op:
        if self.take("_"):
            if self.take("{"):
                start, level = self.at, 1
                while level:
                    if self.at >= len(self.tokens):
                        raise Unreadable("an open subscript")
                    level += {"{": 1, "}": -1}.get(self.peek(), 0)
                    self.at += 1
                name += "_" + "".join(token.text for token in self.tokens[start : self.at - 1])
            else:
                name += "_" + self.peek()
                self.at += 1
        elif (
            self.kind() == "num"
            and not self.tokens[self.at].spaced
            and self.peek().isdigit()
            and name not in ("e", "i")
        ):
            name += "_" + self.peek()
            self.at += 1
        while self.take("'"):
            name += "'"
        return Op("sym", name=name)

    def function(self, name: str) -> Op:
        base, exponent = None, None
        if name == "log" and self.take("_"):
            base = self.argument() if self.kind() == "num" or self.peek() == "{" else self.primary()
        if self.take("^"):
            exponent = self.exponent()
        self.in_function += 1
        inside = self.function_argument(name)
        self.in_function -= 1
        args = (inside,) if base is None else (inside, base)
        if exponent is None:
            return Op(name, args)
        if exponent == Op("neg", (Op("num", number=Fraction(1)),)) and not name.startswith("a"):
            return Op("arc" + name, args)
        return Op("pow", (Op(name, args), exponent))

    def function_argument(self, name: str) -> Op:
        if self.peek() in ("(", "{", "["):
            opener = self.peek()
            self.at += 1
            inside = self.sum()
            while name in ("max", "min", "gcd", "lcm") and self.take(","):
                inside = Op(name, (inside, self.sum()))
            self.expect({"(": ")", "{": "}", "[": "]"}[opener])
            return inside
        if name in ("sqrt", "cbrt"):
            return self.root_argument()
        self.depth += 1
        inside = self.power()
        while self.starts_factor() and self.peek().lower() not in FUNCTIONS:
            inside = Op("mul", (inside, self.power()))
        self.depth -= 1
        return inside


def _is_letter(text: str) -> bool:
    return len(text) == 1 and text.isalpha() and ("Α" <= text <= "ω" or text in "ħħ")


@lru_cache(maxsize=2048)
def parse_formula(text: str) -> Op | None:
    """Read all of `text` as an expression with variables; None when it is not one."""
    try:
        parser = _Parser(text, variables=True)
        node = parser.sum()
        return node if parser.at == len(parser.tokens) else None
    except (Unreadable, RecursionError):
        return None


@lru_cache(maxsize=2048)
def parse_constant_prefix(text: str) -> ConstantPrefix | None:
    """Read a constant at the start of `text`; None when it does not start with one."""
    try:
        parser = _Parser(text, variables=False)
        node = parser.sum()
    except (Unreadable, RecursionError):
        return None
    if parser.at >= len(parser.tokens):
        return ConstantPrefix(node, "")
    return ConstantPrefix(node, text[parser.tokens[parser.at].start :])
