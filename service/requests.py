"""What a running pipeline does for commands, by the name of the request on the control socket."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from domain.errors import ConfigError
from service.control import Handler, Report, Request
from service.forget import ForgetRequest
from service.pipeline import Pipeline
from service.settings import fingerprint


def handlers(pipeline: Pipeline) -> Mapping[str, Handler]:
    """Give the handlers of a pipeline."""

    def replay(request: Request, report: Report) -> Mapping[str, Any]:
        engine, settings = request.get("engine"), request.get("settings")
        if engine is not None and engine != pipeline.settings.engine.kind:
            raise ConfigError(
                f"the running pipeline uses the engine {pipeline.settings.engine.kind}, not {engine}: stop it, or "
                "leave --engine out"
            )
        if settings is not None and settings != fingerprint(pipeline.settings):
            raise ConfigError(
                "the running pipeline was started with other brands or columns than this configuration: stop it and "
                "start it again, or replay without --config"
            )
        return pipeline.replay(Path(request["path"]), report, shown=request["shown"])

    def retry(request: Request, report: Report) -> Mapping[str, Any]:
        return pipeline.retry(request["numbers"], report)

    def reindex(request: Request, report: Report) -> Mapping[str, Any]:
        return pipeline.reindex(report)

    def brands(request: Request, report: Report) -> Mapping[str, Any]:
        return pipeline.change_brands(request)

    def rematch(request: Request, report: Report) -> Mapping[str, Any]:
        if request.get("wait", True):
            return pipeline.rematch(request["brand_id"], report)
        return pipeline.begin_rematch(request["brand_id"])

    def backfill(request: Request, report: Report) -> Mapping[str, Any]:
        start, end = (datetime.fromisoformat(request[name]) for name in ("start", "end"))
        return pipeline.backfill(request["source"], start, end, report)

    def forget(request: Request, report: Report) -> Mapping[str, Any]:
        return pipeline.forget(ForgetRequest.of(request), report)

    return {
        "replay": replay,
        "retry": retry,
        "reindex": reindex,
        "brands": brands,
        "rematch": rematch,
        "backfill": backfill,
        "forget": forget,
    }
