"""The dashboard as one application: pages, JSON API, static files, and what guards them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from dashboard.access import AccessSettings, Door, Doorkeeper
from dashboard.alert_api import build_alert_api
from dashboard.alert_desk import AlertDesk
from dashboard.alert_pages import build_alert_pages
from dashboard.answers import ErrorAnswer
from dashboard.api import build_api
from dashboard.api_docs import build_api_docs
from dashboard.asking import Askers
from dashboard.assets import load_assets, load_templates
from dashboard.books import StageInfo
from dashboard.brand_api import build_brand_api
from dashboard.brand_desk import BrandDesk, FixedBrands
from dashboard.brand_pages import build_brand_pages
from dashboard.link_pages import build_link_pages
from dashboard.methods import wrong_method
from dashboard.pages import build_pages
from dashboard.problems import problem_of
from dashboard.security import SECURITY_HEADERS, Guard
from dashboard.sign_in import build_sign_in
from dashboard.subscription_pages import build_subscription_pages
from domain.brand import Brand
from domain.clock import Clock, SystemClock
from domain.errors import ServiceError
from search.store import Store
from stream.protocol import Log

# An asset's address carries a hash of its content, so what stands there never changes.
FOR_EVER = "public, max-age=31536000, immutable"

# So that the composition root can name what `build_app` makes without importing the framework.
Application: TypeAlias = FastAPI


def build_app(
    store: Store,
    log: Log,
    brands: Sequence[Brand],
    *,
    desk: BrandDesk | None = None,
    stages: Sequence[StageInfo] = (),
    clock: Clock | None = None,
    access: AccessSettings | None = None,
    enabled_sources: Sequence[str] | None = None,
    alerts: AlertDesk | None = None,
) -> Application:
    """Make the application. It keeps nothing of its own, and closes neither store nor log.

    Args:
        store: may be open for reading only.
        log: may be open for reading only.
        brands: in the order in which they are shown, where there is no `desk`.
        desk: knows the brands and changes them; by default they stay as they are.
        stages: in the order of the flow; a stage that has counts and is not listed is shown after them.
        clock: for relative times; the machine's by default.
        access: who is let in; everybody on this machine by default.
        enabled_sources: live sources that are to be listened to; None where that is not known.
        alerts: knows alerts and who is told of them; None: nothing of them is shown.
    """
    access, clock = access or AccessSettings(), clock or SystemClock()
    assets = load_assets()
    templates = load_templates(assets)
    templates.globals["signs_in"] = access.auth == "token"
    templates.globals["has_alerts"] = alerts is not None
    app = FastAPI(
        title="Soundings",
        description="What people say about brands, and how they feel about them. Times are in UTC.",
        version="1",
        openapi_url="/api/openapi.json",
        # The usual documentation page loads its scripts from elsewhere; ours is in `dashboard.api_docs`.
        docs_url=None,
        redoc_url=None,
        # One address for one answer: a trailing slash is another address, and no redirect echoes what was asked.
        redirect_slashes=False,
    )
    keeper = Doorkeeper(access, clock)
    if access.auth != "none":
        app.add_middleware(Door, keeper=keeper)
    if access.auth == "token":
        app.include_router(build_sign_in(keeper, templates))
    # Added last, it stands outermost: nobody reaches the door under a wrong name.
    app.add_middleware(Guard, allowed_hosts=access.hosts, public_origin=access.public_origin)
    desk = desk or FixedBrands(brands)
    book = alerts.book if alerts is not None else None
    app.include_router(build_pages(store, log, desk, stages, templates, clock, enabled_sources, book))
    app.include_router(build_brand_pages(store, desk, templates, clock))
    app.include_router(build_api(store, log, stages, clock))
    app.include_router(build_brand_api(store, desk))
    if alerts is not None:
        askers = Askers(access)
        # Before the page of one alert: an address below `/alerts` that is no page of its own is the id of an alert.
        app.include_router(build_subscription_pages(alerts, desk, templates, clock, askers))
        app.include_router(build_alert_pages(alerts, desk, templates, clock, askers))
        app.include_router(build_link_pages(alerts, templates, clock))
        app.include_router(build_alert_api(alerts, desk, clock, askers))
    app.include_router(build_api_docs(app, templates))

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        asset = assets.get(name)
        if asset is None:
            raise HTTPException(404)
        return Response(asset.content, media_type=asset.media_type, headers={"Cache-Control": FOR_EVER})

    def answer_problem(request: Request, error: Exception) -> Response:
        status, problem = problem_of(error)
        headers: dict[str, str] = {}
        if status == 405:
            problem, headers["Allow"] = wrong_method(app.routes, request.scope)
        if f"{request.scope['path']}/".startswith("/api/"):
            answer: Response = JSONResponse(
                ErrorAnswer(error=problem).model_dump(mode="json", by_alias=True), status, headers
            )
        else:
            page = templates.get_template("problem.html").render(status=status, problem=problem)
            answer = HTMLResponse(page, status, headers)
        if status == 500:
            # Unlike the others this answer passes outside the guard.
            answer.headers.update(dict(SECURITY_HEADERS))
        return answer

    for kind in (ServiceError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer_problem)
    return app
