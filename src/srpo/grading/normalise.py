r"""One spelling for what people and models write in many: Unicode and LaTeX in, plain canonical text out.

The rest of the grader only ever sees the output of `clean`: fractions are `\frac{a}{b}` or `a/b`, roots `\sqrt`,
signs ASCII, symbols single characters (`π ∞ ∪ ∈ ≤ ≥ ≠ ≈ ± ° ∠`), set braces `⦃ ⦄` (so that they cannot be confused
with LaTeX groups), matrices `⟦a & b ¦ c & d⟧`, dollars of money `¤`. Every step is one linear pass.

    >>> clean(r"$12\,\mathrm{cm}^{2}$")
    '12 cm ^{2}'
    >>> clean("（−∞，４］")
    '(-∞,4]'
"""

import re
import unicodedata
from functools import lru_cache

from srpo.grading.patterns import pattern
from srpo.grading.phrases import words

MAX_ANSWER_CHARS = 2000
"""Longer answers are not answers; `clean` cuts nothing, callers check `len`."""

SET_OPEN, SET_CLOSE = "⦃", "⦄"
MATRIX_OPEN, MATRIX_CLOSE, ROW_END = "⟦", "⟧", "¦"
DOLLAR = "¤"

_VULGAR = {c: f" {unicodedata.normalize('NFKC', c).replace('⁄', '/')}" for c in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"}
_BEFORE_NFKC = str.maketrans(
    {
        **dict.fromkeys("−‐‑‒–—―﹣－˗", "-"),
        **dict.fromkeys("×✕✖⨯·⋅∙∗", "*"),
        **dict.fromkeys("÷∕", "/"),
        **dict.fromkeys("º˚∘掳", "°"),
        **dict.fromkeys("′’‘`´ʹ", "'"),
        **dict.fromkeys("″“”„", '"'),
        **dict.fromkeys("∶ː", ":"),
        **dict.fromkeys("≤⩽≦", "≤"),
        **dict.fromkeys("≥⩾≧", "≥"),
        **dict.fromkeys("⟨〈", "("),
        **dict.fromkeys("⟩〉", ")"),
        **dict.fromkeys("【〔", "["),
        **dict.fromkeys("】〕", "]"),
        **dict.fromkeys("∽～", "∼"),
        **dict.fromkeys("✅✔☑", "√"),
        **dict.fromkeys("❌✘", "✗"),
        **dict.fromkeys("\ufe0f\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad\x00", ""),
        **_VULGAR,
        "√": " sqrt ",
        "∛": " cbrt ",
        "≒": "≈",
        "蟺": "π",
        "、": ",",
        "。": ". ",
        "…": "...",
        "✓": "√",
    }
)
_CIRCLED = str.maketrans(
    {
        chr(first + index): f"({index + 1})"
        for first, count in ((0x2460, 20), (0x2474, 20), (0x2776, 10), (0x2780, 10), (0x24F5, 10))
        for index in range(count)
    }
)
"""①, ⑴, ❶: numbers of statements and parts, which NFKC would string together."""
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿˣ", "0123456789+-()nx")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋ₐₑₙₓₖ", "0123456789+-aenxk")
_SUPERSCRIPT_RUN = pattern("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿˣ]+", yes="x²", no="x2")
_SUBSCRIPT_RUN = pattern("[₀₁₂₃₄₅₆₇₈₉₊₋ₐₑₙₓₖ]+", yes="x₁", no="x1")
_SURROGATE = pattern("[\ud800-\udfff]", yes="\ud800", no="é")
# A JSON writer that forgot to double its backslashes turns \frac, \boxed, \text, \times, \theta, \right into these.
_EATEN = pattern(
    r"\\?\x0c(?=rac\b|rac[\d{])|\x08(?=oxed|ar\b|inom|egin)|\t(?=ext|imes|frac|heta|an\b|riangle)|\r(?=ight)",
    yes="\x0crac{1}{2}",
    no="\tone",
)
_EATEN_LETTER = {"\x0c": "\\f", "\x08": "\\b", "\t": "\\t", "\r": "\\r"}
_DOUBLED_BACKSLASH = pattern(r"\\\\(?=[A-Za-z]{2})", yes=r"\\frac", no=r"\frac")


def repair(text: str) -> str:
    r"""Undo what transport did to a text: lone surrogates, eaten backslashes (`\x0crac`), doubled backslashes."""
    if not text.isascii():
        text = _SURROGATE.sub("\ufffd", text)
    if not text.isprintable():
        text = _EATEN.sub(lambda match: _EATEN_LETTER[match.group()[-1]], text)
    if "\\\\" in text and "\\begin" not in text:
        text = _DOUBLED_BACKSLASH.sub(r"\\", text)
    return text


def fold_unicode(text: str) -> str:
    """Give every sign one code point: NFKC, ASCII minus and quotes, superscripts as `^{..}`, `½` as ` 1/2`."""
    if text.isascii():
        return text.replace("\x00", "") if "\x00" in text else text
    text = _SUPERSCRIPT_RUN.sub(lambda match: "^{" + match.group().translate(_SUPERSCRIPTS) + "}", text)
    text = _SUBSCRIPT_RUN.sub(lambda match: "_{" + match.group().translate(_SUBSCRIPTS) + "}", text)
    text = unicodedata.normalize("NFKC", text.translate(_CIRCLED).translate(_BEFORE_NFKC))
    return text.replace("⁄", "/").replace("。", ". ")


_WRAPPERS = frozenset(
    words(
        "text textbf textit textrm textnormal texttt textsf emph mbox hbox mathrm mathbf mathit mathsf mathtt "
        "mathcal mathbb mathbin mathrel boldsymbol bm operatorname boxed fbox underline overline "
        "overrightarrow overleftrightarrow overbrace underbrace widehat hat vec bar tilde overset phantom "
        "mathop cancel number num"
    )
)
_SPACING = frozenset(
    words(
        "left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr displaystyle textstyle scriptstyle "
        "limits nolimits rm bf it quad qquad hspace vspace hfill newline enspace thinspace nonumber notag "
        "centering large Large small"
    )
)
_GREEK = {
    name: unicodedata.lookup(f"GREEK {'CAPITAL' if name[0].isupper() else 'SMALL'} LETTER {name.upper()}")
    for name in words(
        "alpha beta gamma delta epsilon zeta eta theta iota kappa mu nu xi pi rho sigma tau upsilon phi chi "
        "psi omega Gamma Delta Theta Xi Pi Sigma Upsilon Phi Psi Omega"
    )
}
_SYMBOLS = {
    **_GREEK,
    "lambda": "λ",
    "Lambda": "Λ",
    "varepsilon": "ε",
    "vartheta": "θ",
    "varphi": "φ",
    "varrho": "ρ",
    **dict.fromkeys(("dfrac", "tfrac", "cfrac", "frac"), "\\frac"),
    **dict.fromkeys(("dbinom", "tbinom", "binom"), "\\binom"),
    "sqrt": "\\sqrt",
    "infty": "∞",
    "cup": "∪",
    "bigcup": "∪",
    "cap": "∩",
    "in": "∈",
    **dict.fromkeys(("le", "leq", "leqslant"), "≤"),
    **dict.fromkeys(("ge", "geq", "geqslant"), "≥"),
    "lt": "<",
    "gt": ">",
    **dict.fromkeys(("ne", "neq"), "≠"),
    **dict.fromkeys(("approx", "thickapprox", "doteq"), "≈"),
    "pm": "±",
    "mp": "∓",
    **dict.fromkeys(("times", "cdot", "ast"), "*"),
    "div": "/",
    **dict.fromkeys(("circ", "degree", "degrees"), "°"),
    "prime": "'",
    **dict.fromkeys(("emptyset", "varnothing"), "∅"),
    "angle": "∠",
    "measuredangle": "∠",
    **dict.fromkeys(("triangle", "vartriangle"), "△"),
    **dict.fromkeys(("ldots", "cdots", "dots", "dotsc"), "..."),
    **dict.fromkeys(("mid", "vert", "lvert", "rvert"), "|"),
    "langle": "(",
    "rangle": ")",
    **dict.fromkeys(("lbrace",), SET_OPEN),
    **dict.fromkeys(("rbrace",), SET_CLOSE),
    **dict.fromkeys(("lbrack",), "["),
    **dict.fromkeys(("rbrack",), "]"),
    **dict.fromkeys(("land", "wedge"), " and "),
    **dict.fromkeys(("lor", "vee"), " or "),
    "colon": ":",
    "sim": "∼",
    "cong": "≅",
    "parallel": "∥",
    "perp": "⊥",
    **dict.fromkeys(("to", "rightarrow", "Rightarrow", "implies"), "→"),
    "hbar": "ħ",
    "ell": "l",
    "euro": "€",
    "pounds": "£",
    "odot": "⊙",
    "checkmark": "√",
    "!": "",
    "{": SET_OPEN,
    "}": SET_CLOSE,
    "%": "%",
    "&": "&",
    "_": "_",
    "#": "#",
    "$": DOLLAR,
    "|": "|",
}
# Kept as commands, so that no parser takes `\\sum` for s*u*m.
_OPAQUE = frozenset(words("sum prod int iint oint lim partial nabla"))
_COMMAND = pattern(r"\\!\s{0,9}|\\[A-Za-z]+|\\.|[{}]", re.DOTALL, yes=r"\frac", no="frac")
_ENVIRONMENT = pattern(
    r"\\(begin|end)\s{0,3}\{([A-Za-z]{1,12})\*?\}(?:\{[lcr|\s]{0,20}\})?", yes=r"\begin{matrix}", no=r"\beginning"
)
_REPEATING = pattern(
    r"(\d{0,20})\.(\d{0,20})\\(?:overline|dot|bar)\{(\d{1,12})\}", yes=r"0.1\overline{6}", no=r"\overline{AB}"
)


def _replacement(command: str) -> str:
    name = command[1:].rstrip()
    if name in _SYMBOLS:
        return _SYMBOLS[name]
    if not name[:1].isalpha() or name in _SPACING:
        return " "
    if name.startswith(("quad", "qquad")):
        return " " + name.split("quad", 1)[1]
    return f"\\{name} " if name in _OPAQUE else f" {name} "


def _strip_latex(text: str) -> str:
    r"""Replace commands by symbols and unwrap `\text{..}` and its kin; other LaTeX groups keep their braces."""
    pieces: list[str] = []
    unwrapped: list[bool] = []
    unwrap_next, position = False, 0
    for match in _COMMAND.finditer(text):
        gap = text[position : match.start()]
        position = match.end()
        pieces.append(gap)
        unwrap_next = unwrap_next and not gap.strip()
        piece = match.group()
        if piece == "{":
            pieces.append(" " if unwrap_next else "{")
            unwrapped.append(unwrap_next)
            unwrap_next = False
        elif piece == "}":
            pieces.append(" " if unwrapped and unwrapped.pop() else "}")
        elif piece[1:] in _WRAPPERS:
            unwrap_next = True
        else:
            pieces.append(_replacement(piece))
            unwrap_next = False
    pieces.append(text[position:])
    return "".join(pieces)


def _environments(text: str) -> str:
    has_matrix = False

    def mark(match: re.Match[str]) -> str:
        nonlocal has_matrix
        name = match.group(2)
        if "matrix" not in name and name != "array":
            return " "
        has_matrix = True
        return MATRIX_OPEN if match.group(1) == "begin" else MATRIX_CLOSE

    rows_end = ", " if "cases" in text else " "
    text = _ENVIRONMENT.sub(mark, text)
    return text.replace("\\\\", ROW_END if has_matrix else rows_end)


def _repeating_decimal(match: re.Match[str]) -> str:
    whole, fixed, period = match.groups()
    nines = (10 ** len(period) - 1) * 10 ** len(fixed)
    numerator = int((whole or "0") + fixed + period) - int((whole or "0") + fixed)
    return f"\\frac{{{numerator}}}{{{nines}}}"


_PRICE = pattern(r"\$(?=\s?\d)|(?<=\d)\s?\$(?!\s?[\d\\])", yes="$5", no="$x$")
_TWO_PRICES = pattern(
    r"^\s*\$\d[\d,.]*(?:\s[^$\\]*\s|\s?[-–]\s?)\$\d[^$]*$", yes="$5 and $6", no="$x$ and $y$", by="match"
)


def _dollars(text: str) -> str:
    """Tell `$` around formulas (dropped) from `$` of money (kept as `¤`): an odd one next to a digit is money."""
    text = text.replace("\\$", DOLLAR)
    if text.count("$") % 2 or _TWO_PRICES.match(text):
        text = _PRICE.sub(DOLLAR, text)
    return text.replace("$", "")


_COMMA_GROUP = pattern(r"\s?\{\s?,\s?\}\s?", yes="1{,}000", no="{1,2}")
# v^2_0 is v_0^2
_POWER_BEFORE_INDEX = pattern(
    r"([A-Za-zα-ω])\s?\^\s?(\{[^{}]{1,20}\}|[\w'])\s?_\s?(\{[^{}]{1,20}\}|\w)", yes="v^2_0", no="v_0^2"
)
_TIMES_X = pattern(r"(?<=[\d)])\s?[xX]\s?(?=10\s?\^|10\s?\*\*)|(?<=\d)\s[xX]\s(?=\d)", yes="3 x 4", no="3x+4")
_POWER_STARS = pattern(r"(?<=[A-Za-z0-9)])\*\*(?=[A-Za-z0-9(-])", yes="x**2", no="**2**")
_DEGREE_POWER = pattern(r"(?:\{\s?\})?\s?\^\s?(?:\{\s?°\s?\}|°|\{\s?o\s?\}|o(?![A-Za-z]))", yes="30^{o}", no="30^2")
# "{8}{5} π": a data set lost its \\frac
_LOST_FRAC = pattern(r"(?<![}\]\w^])(?<![}\]\w^]\s)\{(-?\d{1,9})\}\s?\{(\d{1,9})\}", yes="{8}{5}", no="x^{8}{5}")
_PRIME_POWER = pattern(r"\^\s?(?:\{\s?('{1,3})\s?\}|('))", yes="f^{'}", no="f^2")


_CIRCLED_COMMAND = pattern(r"\\(?:text)?circled\s?\{?\s?(\d{1,2})\s?\}?", yes=r"\textcircled{2}", no=r"\circ")


def _clean_latex(text: str) -> str:
    for wrapper in ("\\(", "\\)", "\\[", "\\]"):
        text = text.replace(wrapper, "")
    if "circled" in text:
        text = _CIRCLED_COMMAND.sub(r"(\1)", text)
    if "\\begin" in text or "\\\\" in text:
        text = _environments(text)
    if "." in text and ("overline" in text or "\\dot" in text or "\\bar" in text):
        text = _REPEATING.sub(_repeating_decimal, text)
    return _strip_latex(text)


def _clean_powers(text: str) -> str:
    if "_" in text:
        text = _POWER_BEFORE_INDEX.sub(r"\1_\3^\2", text)
    return _PRIME_POWER.sub(lambda match: match.group(1) or match.group(2), _DEGREE_POWER.sub("°", text))


_PARALLEL = pattern(r"(?<=[A-Za-z])\s?//\s?(?=[A-Za-z])", yes="AB//CD", no="http://x")
_SWUNG = pattern(r"(?<=[\d%])\s?~\s?(?=[\d¤€£¥])", yes="20~30", no="5~cm")
_ASCII_SIGNS = (("~", " "), ("<=", "≤"), (">=", "≥"), ("!=", "≠"), ("==", "="))


def _clean_signs(text: str) -> str:
    if "~" in text:
        text = _SWUNG.sub("∼", text)
    if "//" in text:
        text = _PARALLEL.sub("∥", text)
    for ascii_sign, sign in _ASCII_SIGNS:
        text = text.replace(ascii_sign, sign)
    return text


@lru_cache(maxsize=2048)
def clean(text: str) -> str:
    """Return the canonical spelling of an answer (see the module docstring). Linear in the length of the text."""
    text = fold_unicode(repair(text))
    if "$" in text:
        text = _dollars(text)
    if ",}" in text or ", }" in text:
        text = _COMMA_GROUP.sub(",", text)
    if "\\" in text:
        text = _clean_latex(text)
    text = _clean_signs(text)
    if "**" in text:
        text = _POWER_STARS.sub("^", text).replace("**", "")
    if "^" in text:
        text = _clean_powers(text)
    if "}{" in text or "} {" in text:
        text = _LOST_FRAC.sub(r"\\frac{\1}{\2}", text)
    if "x" in text or "X" in text:
        text = _TIMES_X.sub("*", text)
    return " ".join(text.split())
