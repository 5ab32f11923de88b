"""The description of the API as a judge: every answer that a test sees must be as it says.

Stricter than the description itself in one thing: what is not described must not be there. Partners
are told to ignore fields that they do not know; we are not.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

DOCUMENT: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "src/swapdesk/web/openapi.json").read_text()
)
METHODS: Final = ("get", "head", "post", "put", "patch", "delete")
#: What answers where nothing is: an unknown path, a wrong method (contract D9).
NOWHERE: Final = {
    404: {"code": 6, "msg": "NOT_FOUND"},
    405: {"code": 1, "msg": "INVALID_REQUEST"},
}
#: Pages for people; they are no part of the API.
PAGES: Final = frozenset({"/docs", "/docs/redoc.js", "/docs/start.js", "/openapi.json"})


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """(method, path) -> operation."""
    return {
        (method.upper(), path): item[method]
        for path, item in DOCUMENT["paths"].items()
        for method in METHODS
        if method in item
    }


def check_answer(
    method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """AssertionError unless this answer to this call is described. Header names: lower case."""
    if path in PAGES:
        return
    where = f"{method} {path} -> {status}"
    known = _path_of(path)
    operation = operations().get((method, known)) if known else None
    if operation is None:
        if (method, status) != ("OPTIONS", 200):
            assert status in NOWHERE and (not body or json.loads(body) == NOWHERE[status]), where
        return
    assert str(status) in operation["responses"], f"{where} is not described"
    answer = resolve(operation["responses"][str(status)])
    for name, header in answer.get("headers", {}).items():
        _check_header(f"{where} {name}", resolve(header), headers.get(name.lower()))
    content = answer.get("content", {})
    if not content:
        assert body == b"", f"{where} has a body"
        return
    kind = headers["content-type"].partition(";")[0]
    assert kind in content, f"{where} is {kind}"
    value = json.loads(body) if kind == "application/json" else body.decode()
    faults = [
        f"{'/'.join(map(str, fault.instance_path))}: {fault.message}"
        for fault in judge(content[kind]["schema"]).iter_errors(value)
    ]
    assert not faults, f"{where}: {faults}\n{body.decode()}"


def _check_header(where: str, header: Mapping[str, Any], value: str | None) -> None:
    if value is None:
        assert not header.get("required"), f"{where} is missing"
        return
    schema = header["schema"]
    told = int(value) if schema.get("type") == "integer" else value
    assert judge(schema).is_valid(told), f"{where}: {value}"


@cache
def _path_of(path: str) -> str | None:
    """The described path that this one is, `/r/{code}` for `/r/desktop`."""
    for known in DOCUMENT["paths"]:
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(known)), path):
            return str(known)
    return None


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for; anything else is itself."""
    while "$ref" in node:
        found: Any = DOCUMENT
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        node = found
    return node


_JUDGES: Final[dict[str, jsonschema_rs.Draft202012Validator]] = {}


def judge(schema: dict[str, Any], *, strict: bool = True) -> jsonschema_rs.Draft202012Validator:
    """A validator of one schema of the document."""
    key = json.dumps([schema, strict])
    if key not in _JUDGES:
        schemas = DOCUMENT["components"]["schemas"]
        if strict:
            schema = _sealed(schema)
            schemas = {name: _sealed(each, whole=False) for name, each in schemas.items()}
        _JUDGES[key] = jsonschema_rs.Draft202012Validator(
            {**schema, "components": {"schemas": schemas}}, validate_formats=True
        )
    return _JUDGES[key]


def _sealed(schema: dict[str, Any], *, whole: bool = True) -> dict[str, Any]:
    """The schema with nothing allowed but what it describes.

    `whole`: no other schema speaks of the same value; parts of an `allOf` leave the sealing to it.
    """
    made = dict(schema)
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            made[word] = _sealed(schema[word])
    for word in ("oneOf", "anyOf", "allOf"):
        if word in schema:
            made[word] = [_sealed(each, whole=word != "allOf") for each in schema[word]]
    if "properties" in schema:
        made["properties"] = {name: _sealed(each) for name, each in schema["properties"].items()}
    if whole and not {"$ref", "allOf", "properties"}.isdisjoint(schema):
        made["unevaluatedProperties"] = False
    return made
