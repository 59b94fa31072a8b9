"""A running pipeline with its control socket, and the page that a process beside it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fakes.running_pipeline import Running, post, running_pipeline, write_rows
from fastapi import FastAPI

from service.components import open_reader
from service.control import ControlServer
from service.requests import handlers

ADDRESS = "http://127.0.0.1:8000"
OWN = {"Origin": ADDRESS}
TEXTS = ("mug is fine", "lid leaks", "mug is great", "mug and lid arrived", "mug is a gift for my sister")


@dataclass(frozen=True)
class BrandWorld:
    """A pipeline, and the application of the page."""

    running: Running
    app: FastAPI

    def send(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Ask as a browser on this machine does; an error that nobody answered is raised here."""

        async def sent() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=ADDRESS, trust_env=False) as client:
                return await client.request(method, path, json=json, data=form, headers=dict(headers or OWN))

        return asyncio.run(sent())

    def brands(self) -> dict[str, dict[str, Any]]:
        """Give the brands as the API tells them."""
        return {brand["brand_id"]: brand for brand in self.send("GET", "/api/brands").json()["brands"]}


@contextmanager
def open_brand_world(folder: Path) -> Iterator[BrandWorld]:
    """Open it in an empty folder: 50 posts about acme, some about mugs."""
    with running_pipeline(folder) as running:
        rows = [post(number, f"acme {TEXTS[number % len(TEXTS)]}") for number in range(50)]
        rows.append(post(50, "acme teapot quarterly earnings conference webcast"))
        running.replay(write_rows(folder / "posts.jsonl", rows))
        control = ControlServer(running.settings.data.dir, handlers(running.pipeline))
        try:
            with open_reader(running.settings) as reader:
                yield BrandWorld(running, reader.app())
        finally:
            control.close()
