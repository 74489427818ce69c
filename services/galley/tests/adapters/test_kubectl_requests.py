"""The requests of stock kubectls, as data: each file is one command line, and every reply must be what it needs.

`request` is what kubectl sends (`{name}` parts come from `save` of an earlier step), `expect` what has to come back:
status, headers, parts of the body by path, and `absent` paths. `kubectl` itself runs in tests/kubectl.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

RECORDS = Path(__file__).parents[1] / "testdata" / "kubectl"
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def at(body: Any, path: str) -> Any:
    """The value at `a.b[0].c`; KeyError or IndexError when it is not there. Dots in a key are written `~`."""
    for name, index in _STEP.findall(path):
        body = body[int(index)] if index else body[name.replace("~", ".")]
    return body


def filled(value: Any, saved: dict[str, str]) -> Any:
    if isinstance(value, str):
        for name, text in saved.items():
            value = value.replace("{" + name + "}", text)
        return value
    if isinstance(value, dict):
        return {key: filled(item, saved) for key, item in value.items()}
    return [filled(item, saved) for item in value] if isinstance(value, list) else value


async def replay(client: Any, step: dict[str, Any], saved: dict[str, str]) -> None:
    request, expect = filled(step["request"], saved), step["expect"]
    headers = {"Accept": "application/json", **request.get("headers", {})}
    content: dict[str, Any] = {}
    if "json" in request:
        content["json"] = request["json"]
    elif "hex" in request:
        content["content"] = bytes.fromhex(request["hex"])
    response = await client.request(request["method"], request["path"], headers=headers, **content)
    where = f"{request['method']} {request['path']}: {response.status_code} {response.text[:500]}"
    assert response.status_code == expect["status"], where
    for name, value in expect.get("headers", {}).items():
        assert response.headers[name] == value, where
    body = response.json() if "json" in response.headers.get("Content-Type", "") else None
    for path, value in filled(expect.get("body", {}), saved).items():
        assert at(body, path) == value, f"{path} of {where}"
    for path in expect.get("absent", ()):
        with pytest.raises((KeyError, IndexError)):
            at(body, path)
    for name, path in step.get("save", {}).items():
        saved[name] = str(at(body, path))


@pytest.mark.parametrize("record", sorted(RECORDS.glob("*.yaml")), ids=lambda path: path.stem)
async def test_recorded_command(api: Any, record: Path) -> None:
    saved: dict[str, str] = {}
    async with api.client() as client:
        for step in yaml.safe_load(record.read_text())["steps"]:
            await replay(client, step, saved)


def test_there_are_records() -> None:
    assert len(list(RECORDS.glob("*.yaml"))) >= 10
