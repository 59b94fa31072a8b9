"""`/api/docs`: the OpenAPI description as a plain page of our own, which needs no script and no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jinja2
from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter or field: its type in words, whether it must be given, and its default ("" for none)."""

    name: str
    kind: str
    required: bool
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One thing that can be asked, the name of the model it answers with, and of what is sent ("" for nothing)."""

    method: str
    path: str
    summary: str
    parameters: tuple[Parameter, ...]
    body: str
    answer: str
    can_try: bool


@dataclass(frozen=True, slots=True)
class Model:
    """The shape of an answer or of a part of one."""

    name: str
    meaning: str
    fields: tuple[Parameter, ...]


def build_api_docs(app: FastAPI, templates: jinja2.Environment) -> APIRouter:
    """Make the route of the page that describes the API of `app`."""
    docs = APIRouter(include_in_schema=False)

    @docs.get("/api/docs")
    def api_docs() -> HTMLResponse:
        described = app.openapi()
        page = templates.get_template("api_docs.html").render(
            about=described["info"]["description"], endpoints=endpoints(described), models=models(described)
        )
        return HTMLResponse(page)

    return docs


def endpoints(described: Mapping[str, Any]) -> tuple[Endpoint, ...]:
    """Read what can be asked from an OpenAPI description."""
    return tuple(
        _endpoint(path, method, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    )


def _endpoint(path: str, method: str, operation: Mapping[str, Any]) -> Endpoint:
    (answered,) = (answer for status, answer in operation["responses"].items() if status.startswith("2"))
    sent = operation.get("requestBody", {}).get("content", {})
    return Endpoint(
        method.upper(),
        path,
        operation["summary"],
        tuple(
            # A parameter is left out or given; null is how the framework says that it may be left out.
            _parameter(given["name"], _not_null(given["schema"]), given["required"], given["description"])
            for given in operation.get("parameters", ())
        ),
        kind_of(sent["application/json"]["schema"]) if sent else "",
        kind_of(answered["content"]["application/json"]["schema"]),
        can_try=method == "get" and "{" not in path,
    )


def models(described: Mapping[str, Any]) -> tuple[Model, ...]:
    """Read the shapes of answers from an OpenAPI description, without the framework's own."""
    return tuple(
        Model(
            name,
            schema.get("description", ""),
            tuple(
                _parameter(field, shape, field in schema.get("required", ()), shape.get("description", ""))
                for field, shape in schema["properties"].items()
            ),
        )
        for name, schema in described["components"]["schemas"].items()
        if name.endswith(("Answer", "Problem", "Body"))
    )


def kind_of(schema: Mapping[str, Any]) -> str:
    """Say a JSON schema in a few words: `text or null`, `list of MentionAnswer`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(kind_of(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"“{value}”" for value in schema["enum"])
    if "const" in schema:
        return f"“{schema['const']}”"
    match schema.get("type"):
        case "array":
            return f"list of {kind_of(schema['items'])}"
        case "object":
            inner = schema.get("additionalProperties")
            return f"object of {kind_of(inner)}" if isinstance(inner, Mapping) else "object"
        case "string":
            return "time" if schema.get("format") == "date-time" else "text"
        case "integer":
            return "whole number" + _bounds(schema)
        case kind:
            return str(kind or "anything")


def _not_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    return choices[0] if len(choices) == 1 else schema


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    return "" if low is None or high is None else f", {low} to {high}"


def _parameter(name: str, schema: Mapping[str, Any], required: bool, meaning: str) -> Parameter:
    default = schema.get("default")
    return Parameter(name, kind_of(schema), required, "" if default in (None, "") else str(default), meaning)
