"""CEL expressions: their syntax (google/cel-spec, langdef.md), with what macros must be given, and what of the language
Envoy does not evaluate. Types and attributes are not looked at. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from meshcore.regular_expression import regex_fault

_ESCAPE = r"""\\(?:[abfnrtv\\?"'`]|[xX][0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[0-3][0-7]{2})"""
_TOKEN = re.compile(
    rf"""(?P<space>[\s]+|//[^\n]*)
    |(?P<string>(?:[rR][bB]?|[bB][rR])(?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\n]*"|'[^'\n]*')
        |[bB]?(?:\"\"\"(?:[^\\]|{_ESCAPE})*?\"\"\"|'''(?:[^\\]|{_ESCAPE})*?'''
        |"(?:[^"\\\n]|{_ESCAPE})*"|'(?:[^'\\\n]|{_ESCAPE})*'))
    |(?P<number>0[xX][0-9A-Fa-f]+[uU]?|[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|[0-9]+[uU]?)
    |(?P<name>[_A-Za-z][_A-Za-z0-9]*|`[^`]+`)
    |(?P<operator>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{{}}])""",
    re.VERBOSE | re.DOTALL,
)
_RELATIONS = frozenset(("==", "!=", "<", "<=", ">", ">=", "in"))
_BINARY = _RELATIONS | frozenset(("&&", "||", "+", "-", "*", "/", "%"))
_RESERVED = frozenset(
    (
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"),
        *("namespace", "return", "var", "void", "while"),
    )
)
_LITERALS = frozenset(("true", "false", "null"))
_WORDS = _LITERALS | {"in"}
_NO_NAMES = _RESERVED | _WORDS
_MACROS = {"all": (2,), "exists": (2,), "exists_one": (2,), "existsOne": (2,), "map": (2, 3), "filter": (2,)}
"""Macros that are called on something, with the numbers of arguments that they have; the first is a name."""
_FUNCTIONS: Mapping[tuple[str, bool], tuple[int, ...]] = {
    ("has", False): (1,),
    ("size", False): (1,),
    ("size", True): (0,),
    **{(name, False): (1,) for name in ("int", "uint", "double", "bytes", "bool", "timestamp", "duration")},
    **{(name, False): (1,) for name in ("type", "dyn")},
    **{(name, False): (2,) for name in ("contains", "startsWith", "endsWith", "matches")},
    **{(name, True): (1,) for name in ("contains", "startsWith", "endsWith", "matches")},
    **{(f"get{name}", True): (0, 1) for name in ("FullYear", "Month", "DayOfYear", "DayOfMonth", "Date", "DayOfWeek")},
    **{(f"get{name}", True): (0, 1) for name in ("Hours", "Minutes", "Seconds", "Milliseconds")},
    ("extract", True): (3,),
    ("capture", True): (2,),
    ("captureN", True): (2,),
}
"""Those of Envoy 1.40, whether they are called on something, with the numbers of arguments."""
_LONGEST = 100_000
_DEEPEST = 100


class _SyntaxFaultError(Exception):
    """Where and why the expression cannot be read."""


class _Form(Enum):
    """What an expression looks like, as far as macros ask."""

    NAME = "name"
    SELECTION = "selection"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def expression_fault(expression: str) -> str | None:
    """What is wrong with the syntax of an expression, with the position from 1; None when it can be read."""
    if len(expression) > _LONGEST:
        return f"longer than {_LONGEST} characters"
    try:
        reader = _Reader(_tokens(expression))
        reader.read_expression()
        reader.expect_end()
    except _SyntaxFaultError as fault:
        return str(fault)
    return None


def evaluation_fault(expression: str) -> str | None:
    """Why Envoy 1.40 takes no such expression: what `expression_fault` says, loops, functions that it does not have,
    regular expressions that do not compile. One of them in a filter's config costs the whole listener."""
    if fault := expression_fault(expression):
        return fault
    tokens = _tokens(expression)
    for index, token in enumerate(tokens[:-1]):
        if token.kind != "name" or tokens[index + 1].text != "(":
            continue
        on_something = index > 0 and tokens[index - 1].text == "."
        if on_something and token.text in _MACROS:
            return f"Envoy evaluates no loops, so no {token.text}()"
        if _arguments(tokens, index + 1) not in _FUNCTIONS.get((token.text, on_something), ()):
            return f"Envoy has no such function as {token.text}() here"
    for name, bracket, pattern in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (name.text, bracket.text, pattern.kind) == ("matches", "(", "string") and not _compiles(pattern.text):
            return f"{pattern.text} is no regular expression"
    return None


def _arguments(tokens: list[_Token], opening: int) -> int:
    """How many there are in the brackets that begin there."""
    depth = commas = 0
    for token in tokens[opening:]:
        depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        if token.kind == "operator" and depth == 0:
            break
        commas += token.text == "," and depth == 1
    return commas + 1 if tokens[opening + 1].text != ")" else 0


def _compiles(literal: str) -> bool:
    """Whether RE2 takes a string literal; one with escapes is taken to be right."""
    if "\\" in literal and not literal.startswith(("r", "R")):
        return True
    return not regex_fault(literal.lstrip("rRbB").strip("\"'"))


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _SyntaxFaultError(f"unexpected {text[at]!r} at position {at + 1}")
        if match.lastgroup is not None and match.lastgroup != "space":
            tokens.append(_Token(match.lastgroup, match[0], at))
        at = match.end()
    tokens.append(_Token("end", "", len(text)))
    return tokens


class _Reader:
    """Recursive descent. Precedence does not matter to a syntax check, so binary operators are one list."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def read_expression(self) -> _Form:
        """Operands between binary operators, then perhaps `? … : …`."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _SyntaxFaultError(f"nested deeper than {_DEEPEST}")
        form = self._read_operand()
        while self._tokens[self._next].text in _BINARY and self._tokens[self._next].kind in ("operator", "name"):
            self._next += 1
            self._read_operand()
            form = _Form.OTHER
        if self._take("?"):
            self.read_expression()
            self._expect(":")
            self.read_expression()
            form = _Form.OTHER
        self._depth -= 1
        return form

    def expect_end(self) -> None:
        """Nothing may be left."""
        if self._tokens[self._next].kind != "end":
            raise self._unexpected()

    def _read_operand(self) -> _Form:
        negated = False
        while self._tokens[self._next].text in ("!", "-"):
            negated = True
            self._next += 1
        form, named = self._read_primary()
        while True:
            if self._take("."):
                name = self._read_selector()
                form, named = _Form.SELECTION, named and not name.startswith("`")
                if self._take("("):
                    self._check_call(name, self._read_list(")"))
                    form, named = _Form.OTHER, False
                elif named and self._peek("{"):
                    self._read_fields(named=True)
                    form, named = _Form.OTHER, False
            elif self._take("["):
                self.read_expression()
                self._expect("]")
                form, named = _Form.OTHER, False
            else:
                return _Form.OTHER if negated else form

    def _read_primary(self) -> tuple[_Form, bool]:
        """What was read, and whether it may be the beginning of a message's name."""
        token = self._tokens[self._next]
        if token.kind == "number":
            self._check_number(token)
        if token.kind in ("string", "number") or token.text in _LITERALS:
            self._next += 1
            return _Form.OTHER, False
        if self._take("("):
            form = self.read_expression()
            self._expect(")")
            return form, False
        if self._take("["):
            self._read_list("]")
            return _Form.OTHER, False
        if token.text == "{":
            self._read_fields()
            return _Form.OTHER, False
        return self._read_name()

    def _read_name(self) -> tuple[_Form, bool]:
        self._take(".")
        token = self._tokens[self._next]
        if token.kind != "name" or token.text in _NO_NAMES or token.text.startswith("`"):
            raise self._unexpected()
        self._next += 1
        if self._take("("):
            forms = self._read_list(")")
            if token.text == "has" and len(forms) == 1 and forms[0] is not _Form.SELECTION:
                raise _SyntaxFaultError("has() is given what is no field")
            return _Form.OTHER, False
        if self._peek("{"):
            self._read_fields(named=True)
            return _Form.OTHER, False
        return _Form.NAME, True

    def _read_selector(self) -> str:
        token = self._tokens[self._next]
        if token.kind != "name" or token.text in _WORDS:
            raise self._unexpected()
        self._next += 1
        return token.text

    def _check_call(self, name: str, forms: list[_Form]) -> None:
        if len(forms) in _MACROS.get(name, ()) and forms[0] is not _Form.NAME:
            raise _SyntaxFaultError(f"the first argument of {name}() is not a name")

    def _check_number(self, token: _Token) -> None:
        text = token.text.lower()
        unsigned = text.endswith("u")
        digits = text.removesuffix("u")
        if not digits.startswith("0x") and not digits.isdecimal():
            return
        bits = 64 if unsigned else 63
        if int(digits, 16 if digits.startswith("0x") else 10) >= 2**bits:
            raise _SyntaxFaultError(f"{token.text} at position {token.at + 1} is too large")

    def _read_list(self, closing: str) -> list[_Form]:
        """Expressions with commas between them; a list may end with one, arguments may not."""
        forms: list[_Form] = []
        if closing == "]" and self._take(","):
            self._expect(closing)
            return forms
        while not self._take(closing):
            forms.append(self.read_expression())
            if not self._take(","):
                self._expect(closing)
                return forms
            if closing == ")" and self._peek(")"):
                raise self._unexpected()
        return forms

    def _read_fields(self, *, named: bool = False) -> None:
        """Entries of a map, or (`named`) fields of a message."""
        self._expect("{")
        if self._take(","):
            self._expect("}")
            return
        while not self._take("}"):
            if named:
                self._read_selector()
            else:
                self.read_expression()
            self._expect(":")
            self.read_expression()
            if not self._take(","):
                self._expect("}")
                return

    def _peek(self, text: str) -> bool:
        token = self._tokens[self._next]
        return token.kind == "operator" and token.text == text

    def _take(self, text: str) -> bool:
        if self._peek(text):
            self._next += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._unexpected()

    def _unexpected(self) -> _SyntaxFaultError:
        token = self._tokens[self._next]
        if token.kind == "end":
            return _SyntaxFaultError("the expression ends too early")
        return _SyntaxFaultError(f"unexpected {token.text!r} at position {token.at + 1}")
