"""The syntax of CEL expressions (google/cel-spec, langdef.md). Names and types are not looked at: what a filter may
name is Envoy's to say."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<space>[\s]+|//[^\n]*)
    |(?P<string>(?:[rR][bB]?|[bB][rR]?)?(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''
        |"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    |(?P<number>0[xX][0-9A-Fa-f]+[uU]?|[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|[0-9]+[uU]?)
    |(?P<name>[_A-Za-z][_A-Za-z0-9]*|`[^`]+`)
    |(?P<operator>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])""",
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
_LONGEST = 100_000
_DEEPEST = 100


class _SyntaxFaultError(Exception):
    """Where and why the expression cannot be read."""


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

    def read_expression(self) -> None:
        """Operands between binary operators, then perhaps `? … : …`."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _SyntaxFaultError(f"nested deeper than {_DEEPEST}")
        self._read_operand()
        while self._tokens[self._next].text in _BINARY and self._tokens[self._next].kind in ("operator", "name"):
            self._next += 1
            self._read_operand()
        if self._take("?"):
            self.read_expression()
            self._expect(":")
            self.read_expression()
        self._depth -= 1

    def expect_end(self) -> None:
        """Nothing may be left."""
        if self._tokens[self._next].kind != "end":
            raise self._unexpected()

    def _read_operand(self) -> None:
        while self._tokens[self._next].text in ("!", "-"):
            self._next += 1
        self._read_primary()
        while True:
            if self._take("."):
                self._take("?")
                self._expect_name()
                if self._take("("):
                    self._read_list(")")
                elif self._peek("{"):
                    self._read_fields()
            elif self._take("["):
                self._take("?")
                self.read_expression()
                self._expect("]")
            else:
                return

    def _read_primary(self) -> None:
        token = self._tokens[self._next]
        if token.kind in ("string", "number"):
            self._next += 1
        elif self._take("("):
            self.read_expression()
            self._expect(")")
        elif self._take("["):
            self._read_list("]")
        elif token.text == "{":
            self._read_fields()
        else:
            self._take(".")
            self._expect_name()
            if self._take("("):
                self._read_list(")")
            elif self._peek("{"):
                self._read_fields()

    def _read_list(self, closing: str) -> None:
        """Expressions with commas between them; a list may end with one, arguments may not."""
        while not self._take(closing):
            self.read_expression()
            if not self._take(","):
                self._expect(closing)
                return
            if closing == ")" and self._peek(")"):
                raise self._unexpected()

    def _read_fields(self) -> None:
        self._expect("{")
        while not self._take("}"):
            self._take("?")
            self.read_expression()
            self._expect(":")
            self.read_expression()
            if not self._take(","):
                self._expect("}")
                return

    def _expect_name(self) -> None:
        token = self._tokens[self._next]
        if token.kind != "name" or token.text in _RESERVED or token.text == "in":
            raise self._unexpected()
        self._next += 1

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
