"""Environment variables, read one by one: what is missing or wrong is noted, and stops none of the others. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from meshcore.errors import MeshError, Violation

from envoy_bootstrap.core.addresses import is_ip

_T = TypeVar("_T")


class Variables:
    """Those of one process; `violations` are all that are missing or wrong so far."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.violations: list[Violation] = []

    def wrong(self, name: str, message: str, expected: str = "") -> None:
        """Note that a variable is wrong, and what is expected of it."""
        self.violations.append(Violation(name, message, expected))

    def required(self, name: str, meaning: str) -> str:
        """The text of a variable that has to be set; `meaning` is what for."""
        value = self._environment.get(name, "")
        if not value:
            self.wrong(name, "is not set", meaning)
        return value

    def addresses(self, name: str, alias: str) -> tuple[str, ...]:
        """A list of IP addresses, of a variable or else of its other name."""
        text = self._environment.get(name) or self._environment.get(alias, "")
        addresses = tuple(part.strip() for part in text.split(",") if part.strip())
        if not addresses:
            self.wrong(name, "is not set", f"the workload's IP addresses ({alias} for a single one)")
        for address in addresses:
            if not is_ip(address):
                self.wrong(name, f"{address!r} is not an IP address")
        return addresses

    def parsed(self, name: str, parse: Callable[[str], _T], default: _T) -> _T:
        """What `parse` makes of a variable, the default where it is not set; its MeshError names what is wrong."""
        text = self._environment.get(name, "")
        result = self.checked(name, text, parse) if text else None
        return default if result is None else result

    def checked(self, name: str, value: Any, parse: Callable[[Any], _T]) -> _T | None:
        """What `parse` makes of a value; None, with a note, where that is an error."""
        try:
            return parse(value)
        except MeshError as error:
            if error.violations:
                self.violations.extend(error.violations)
            else:
                self.wrong(name, error.detail)
            return None

    def number(self, name: str, default: int, maximum: int = 65535) -> int:
        """A whole number from 1 to `maximum`."""
        text = self._environment.get(name, "")
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or not 0 < int(text) <= maximum:
            self.wrong(name, f"{text!r} is not a number", f"1 to {maximum}")
            return default
        return int(text)

    def fraction(self, name: str, default: float) -> float:
        """A number from 0 to 1."""
        text = self._environment.get(name, "")
        try:
            value = float(text) if text else default
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            self.wrong(name, f"{text!r} is not a fraction", "0 to 1")
            return default
        return value

    def file_name(self, name: str, default: str) -> str:
        """The name of a file in a folder that is known otherwise."""
        text = self._environment.get(name) or default
        if "/" in text or text in (".", ".."):
            self.wrong(name, f"{text!r} is a path", "the name of a file")
        return text

    def folders(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Absolute folders, separated by commas."""
        text = self._environment.get(name, "")
        found = tuple(part.strip() for part in text.split(",") if part.strip()) or default
        if any(not one.startswith("/") or ".." in one.split("/") for one in found):
            self.wrong(name, f"{text!r} has a folder that is not absolute", "/etc/certs,/etc/istio")
        return found

    def flag(self, name: str) -> bool:
        """Whether it is `true`; not set is no."""
        text = self._environment.get(name, "").lower()
        if text not in ("", "true", "false"):
            self.wrong(name, f"{text!r} is not a boolean", "true or false")
        return text == "true"
