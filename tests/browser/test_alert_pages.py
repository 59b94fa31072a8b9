"""The pages of alerts in a real browser: nothing runs, nothing leaves, everything fits, and buttons do their work."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from fakes.alert_pages_world import AlertPagesWorld, open_alert_pages
from fakes.serving import serve
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

pytestmark = pytest.mark.browser

# No sandbox: tests run as root in containers. The others keep the browser from talking to its maker.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
# How long a loaded machine may take for one step; nothing waits for it when all is well.
PATIENCE_MS = 60_000
# A link of a drawing holds its address elsewhere.
LINKS_ARE_WEB = """[...document.querySelectorAll('a')].every((link) =>
    /^https?:$/.test(new URL(link.href.baseVal ?? link.href, location).protocol))"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertPagesWorld]:
    with open_alert_pages(tmp_path_factory.mktemp("browser")) as world:
        yield world


@pytest.fixture(scope="module")
def address(world: AlertPagesWorld) -> Iterator[str]:
    with serve(world.app) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "no Chromium found: run tests/install-browser.sh"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS), timeout=PATIENCE_MS)
        yield browser
        browser.close()


def open_page(context: BrowserContext, address: str, seen: list[str]) -> Page:
    """Give a page; what must not happen on it goes to `seen`."""
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.on("dialog", lambda dialog: (seen.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("console", lambda message: seen.append(f"console {message.text}"))
    page.on("pageerror", lambda error: seen.append(f"error {error}"))
    page.on("request", lambda request: request.url.startswith(address) or seen.append(f"left to {request.url}"))
    return page


def paths(world: AlertPagesWorld) -> list[str]:
    alert_id = world.alert().alert_id
    return [
        "/",
        "/alerts",
        f"/alerts/{alert_id}",
        f"/alerts/{world.alert('loud').alert_id}",
        "/alerts/subscriptions",
        world.link("acknowledge", alert_id),
        world.link("mark", alert_id),
    ]


@pytest.mark.parametrize("width", [320, 375, 768, 960, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_and_does_nothing_by_itself(
    browser: Browser, world: AlertPagesWorld, address: str, width: int, scheme: str
) -> None:
    seen: list[str] = []
    context = browser.new_context(
        base_url=address, viewport={"width": width, "height": 812}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = open_page(context, address, seen)
    for path in paths(world):
        page.goto(path)
        for summary in page.locator("main summary").all():
            if summary.is_visible():
                summary.click()
        wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1], path
        assert page.evaluate("document.scripts.length") == 1
        assert page.evaluate(LINKS_ARE_WEB)
    context.close()
    assert seen == []


def test_the_lines_of_the_chart_stand_on_its_axis(browser: Browser, world: AlertPagesWorld, address: str) -> None:
    """The plot is stretched, its words are not: both must mean the same place."""
    context = browser.new_context(base_url=address, viewport={"width": 375, "height": 812})
    page = open_page(context, address, [])
    page.goto(f"/alerts/{world.alert().alert_id}")
    boxes = page.evaluate("""() => {
        const box = (selector) => document.querySelector(selector).getBoundingClientRect();
        const lines = [...document.querySelectorAll('.plot .grid')].map((line) => line.getBoundingClientRect().top);
        return [box('.plot .observed'), lines[0], lines.at(-1), box('.plot .firing'), box('.mark-line')];
    }""")
    observed, zero, top, firing, mark = boxes
    # From nothing to the 100 of the peak, which is the highest line; it ends where the drawing ends.
    assert abs(observed["bottom"] - zero) < 2
    assert abs(observed["top"] - top) < 3
    assert abs(observed["right"] - firing["right"]) < 2
    assert abs(mark["left"] - firing["left"]) < 2
    context.close()


def test_an_alert_is_followed_from_the_first_page_acknowledged_and_marked(
    browser: Browser, world: AlertPagesWorld, address: str
) -> None:
    seen: list[str] = []
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    page = open_page(context, address, seen)
    page.goto("/")
    page.locator(".note.alarm a").first.click()
    page.wait_for_url("**/alerts/0*")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("status")).to_contain_text("it has been seen")
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    page.get_by_role("button", name="Useful").click()
    expect(page.get_by_text("Useful, says somebody on the page")).to_be_visible()
    assert world.alert().mark == "useful"
    page.get_by_role("link", name="See the mentions behind it").click()
    expect(page.locator("#counts")).to_have_text(f"{world.alert().reading.observed:.0f} mentions")
    context.close()
    assert seen == []


def test_somebody_is_added_by_the_form_and_a_link_is_followed(
    browser: Browser, world: AlertPagesWorld, address: str
) -> None:
    seen: list[str] = []
    context = browser.new_context(base_url=address, viewport={"width": 375, "height": 812})
    page = open_page(context, address, seen)
    page.goto("/alerts/subscriptions")
    page.get_by_label("Address").fill("ann@acme.example")
    page.get_by_label("Globex").check()
    page.get_by_label("Quiet from").fill("22:00")
    page.get_by_label("until").fill("07:00")
    page.get_by_role("button", name="Have it told").click()
    expect(page.get_by_role("status")).to_contain_text("gets a message with a link")
    row = page.locator(".subscriptions tr", has_text="ann@acme.example")
    expect(row).to_contain_text("has not agreed, or left")
    row.get_by_text("Remove").click()
    row.get_by_role("button", name="Yes, tell it nothing more").click()
    expect(page.get_by_text("ann@acme.example")).to_have_count(0)
    page.goto(world.link("acknowledge", world.alert("loud").alert_id))
    page.get_by_role("button", name="I have seen it").click()
    expect(page.get_by_role("status")).to_contain_text("Seen by somebody with the link")
    context.close()
    assert seen == []
