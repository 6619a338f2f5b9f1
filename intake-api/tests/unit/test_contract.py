"""The OpenAPI document: its committed copy, its examples, and the problems it names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from intake_api import problems
from intake_api.contract import document

ROOT = Path(__file__).parents[3]
METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    return document()


def operations(written: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in written["paths"].items():
        for method in METHODS & item.keys():
            yield f"{method.upper()} {path}", item[method]


def test_s45_the_committed_document_is_that_of_the_code(written: dict[str, Any]) -> None:
    committed = json.loads((ROOT / "docs/openapi.json").read_text(encoding="utf-8"))
    assert committed == json.loads(json.dumps(written)), "run `make openapi` and look at what changed"


def test_it_is_openapi_3_1(written: dict[str, Any]) -> None:
    assert written["openapi"].startswith("3.1.")


def test_every_json_body_has_an_example_that_its_schema_takes(written: dict[str, Any]) -> None:
    bodies = 0
    for name, operation in operations(written):
        contents = [operation.get("requestBody", {}).get("content", {})]
        contents += [response.get("content", {}) for response in operation["responses"].values()]
        for content in contents:
            for media_type, body in content.items():
                if "json" not in media_type and "form" not in media_type:
                    continue
                schema = {**body.get("schema", {}), "components": written["components"]}
                assert jsonschema_rs.is_valid(schema, body["example"]), (name, media_type, body["example"])
                bodies += 1
    assert bodies > 100


def test_every_operation_says_what_it_does_and_how_it_fails(written: dict[str, Any]) -> None:
    for name, operation in operations(written):
        assert operation["summary"], name
        errors = {status: body for status, body in operation["responses"].items() if status >= "400"}
        assert {"500", "503"} <= errors.keys(), name
        assert "security" not in operation or {"401", "403", "429"} <= errors.keys(), name
        assert "requestBody" not in operation or {"408", "413", "422"} <= errors.keys(), name
        for status, response in errors.items():
            assert list(response["content"]) == ["application/problem+json"], (name, status)


def test_every_problem_type_is_documented() -> None:
    package = Path(problems.__file__).parent
    anywhere = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    kinds = set(re.findall(r"\bproblem\(\s*\d{3},\s*\"([a-z-]+)\"", anywhere))
    by_status = (package / "problems.py").read_text(encoding="utf-8")
    kinds |= set(re.findall(r"\d{3}: \"([a-z-]+)\"", by_status)) | {"invalid-fields", "http-error", "not-found"}
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs/problems.md").read_text(encoding="utf-8"), re.M))
    assert documented == kinds
