"""The page in a real browser: hostile text is inert, search and filters work, and it fits a telephone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from fakes.dashboard_world import BRANDS, HOSTILE, World, open_world, settlement_of_a_run, settlement_of_tagging
from fakes.serving import serve
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dashboard.access import AccessSettings
from dashboard.app import build_app

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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("browser")) as world:
        yield world


@pytest.fixture(scope="module")
def address(world: World) -> Iterator[str]:
    """Serve the world on a free port until the tests are over."""
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


class Watch:
    """What must not happen on a page: dialogs, messages on the console, errors, requests that leave the machine."""

    def __init__(self, page: Page, address: str) -> None:
        self.seen: list[str] = []
        page.on("dialog", lambda dialog: (self.seen.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("console", lambda message: self.seen.append(f"console {message.text}"))
        page.on("pageerror", lambda error: self.seen.append(f"error {error}"))
        page.on(
            "request", lambda request: request.url.startswith(address) or self.seen.append(f"left to {request.url}")
        )


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A wide page; whatever goes wrong on it fails the test."""
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    watch = Watch(page, address)
    yield page
    context.close()
    assert watch.seen == []


def test_hostile_text_is_shown_and_does_nothing(page: Page) -> None:
    page.goto("/?q=hostile")
    for text in HOSTILE[:4]:
        expect(page.locator(".text", has_text=text)).to_be_visible()
    assert page.locator(".results :is(script, img, iframe, style, b, svg:not(.mark))").count() == 0
    assert page.evaluate("[...document.links].every((link) => /^https?:$/.test(link.protocol))")
    assert page.evaluate("document.scripts.length") == 1


def test_hostile_text_stays_in_its_place(page: Page) -> None:
    page.goto("/?q=hostile")
    inside = """() => [...document.querySelectorAll('.mention')].every((mention) => {
        const place = mention.getBoundingClientRect();
        return [...mention.querySelectorAll('.text, .title, .author')].every((part) => {
            const box = part.getBoundingClientRect();
            return box.left >= place.left - 1 && box.right <= place.right + 1 && box.height < 400;
        });
    })"""
    assert page.evaluate(inside)
    # An override that a stranger never closed ends with his text.
    direction = "getComputedStyle(document.querySelector('.mention .text')).unicodeBidi"
    assert page.evaluate(direction) == "isolate"


def test_the_policy_stops_a_script_that_got_into_the_page(browser: Browser, address: str) -> None:
    """The second wall: had a text slipped through, the browser would still not run it."""
    context = browser.new_context(base_url=address)
    page = context.new_page()
    watch = Watch(page, address)
    page.goto("/", timeout=PATIENCE_MS)
    with page.expect_console_message(lambda message: "inline event handler" in message.text, timeout=PATIENCE_MS):
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=/static/x onerror=\"window.ran = 1\">')")
    assert page.evaluate("window.ran") is None
    assert not [seen for seen in watch.seen if seen.startswith("dialog")]
    context.close()


def test_a_search_marks_what_it_found(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("leak* OR crushed")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=leak*+OR+crushed")
    marks = page.locator(".results mark")
    expect(marks.first).to_be_visible()
    assert set(marks.all_inner_texts()) <= {"leaks", "leaking", "crushed"}
    assert page.locator(".results > li").count() == page.locator(".results > li:has(mark)").count()


def test_filters_are_in_the_address_and_back_takes_them_off(page: Page) -> None:
    page.goto("/?q=mug")
    page.get_by_role("link", name="Cuppelo").first.click()
    page.wait_for_url("**/?q=mug&brand=cuppelo")
    page.locator(".facet").get_by_role("link", name="Positive").click()
    page.wait_for_url("**/?q=mug&brand=cuppelo&sentiment=positive")
    expect(page.locator(".choice[aria-current]")).to_have_count(2)
    labels = page.locator(".results .mention > .mark")
    assert {mark.get_attribute("aria-label") for mark in labels.all()} == {"Positive"}
    page.go_back()
    expect(page.locator(".choice[aria-current]")).to_have_count(1)
    page.go_back()
    expect(page.locator(".choice[aria-current]")).to_have_count(0)
    expect(page.locator("#q")).to_have_value("mug")


def test_j_and_k_move_over_the_results(page: Page) -> None:
    page.goto("/")
    results = page.locator(".results > li")
    page.keyboard.press("j")
    expect(results.nth(0)).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(results.nth(2)).to_be_focused()
    page.keyboard.press("k")
    expect(results.nth(1)).to_be_focused()
    # In the search box they are letters.
    page.keyboard.press("/")
    page.keyboard.type("jk")
    expect(page.locator("#q")).to_have_value("jk")


def test_times_tell_the_exact_moment_in_utc_and_in_the_viewers_zone(browser: Browser, address: str) -> None:
    context = browser.new_context(base_url=address, timezone_id="Asia/Kolkata", locale="en-GB")
    page = context.new_page()
    page.goto("/?q=mug&brand=cuppelo", timeout=PATIENCE_MS)
    title = page.locator("article time").first.get_attribute("title")
    context.close()
    assert title is not None
    assert "UTC\n" in title
    assert "GMT+5:30" in title


def test_the_page_follows_a_pipeline_that_finishes(page: Page, world: World) -> None:
    appended = world.log.appended("posts")
    world.log.settle(settlement_of_a_run(20))
    page.goto("/")
    expect(page.locator(".working .left")).to_have_text("10 records wait.")
    world.log.settle(settlement_of_tagging(appended, appended + 10))
    expect(page.locator(".working .left")).to_have_text("All records are done.", timeout=PATIENCE_MS)


@pytest.mark.parametrize(
    "path",
    ["/", "/?q=hostile", "/?q=lid+or+%28", "/?q=nosuchword+lid", "/brands?query=hostile", "/api/docs", "/nowhere"],
)
@pytest.mark.parametrize("width", [320, 375, 768, 960, 1150, 1280])
def test_nothing_scrolls_sideways(browser: Browser, address: str, width: int, path: str) -> None:
    context = browser.new_context(base_url=address, viewport={"width": width, "height": 812})
    page = context.new_page()
    page.goto(path, timeout=PATIENCE_MS)
    found = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    context.close()
    assert found[0] <= found[1]


def test_facets_fold_into_a_drawer_on_a_narrow_page_only(page: Page) -> None:
    page.goto("/")
    choice = page.locator(".choice").first
    expect(choice).to_be_visible()
    page.set_viewport_size({"width": 375, "height": 812})
    expect(choice).to_be_hidden()
    page.get_by_text("Filters").click()
    expect(choice).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(browser: Browser, address: str, scheme: str) -> None:
    """AA of the web's accessibility guidelines: 4.5 to 1 for every text on what is painted behind it."""
    measure = """() => {
        const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
        const rgba = (colour) => {
            canvas.clearRect(0, 0, 1, 1);
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data];
        };
        const light = (colour) => {
            const [r, g, b] = rgba(colour).slice(0, 3).map((one) => {
                const share = one / 255;
                return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const behind = (element) => {
            for (let one = element; one; one = one.parentElement) {
                const colour = getComputedStyle(one).backgroundColor;
                if (rgba(colour)[3] === 255) return colour;
            }
            return 'white';
        };
        const poor = new Set();
        for (const element of document.querySelectorAll('body *')) {
            const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
            if (!own || !element.checkVisibility()) continue;
            const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) poor.add(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
        }
        return [...poor];
    }"""
    context = browser.new_context(base_url=address, color_scheme=scheme)
    page = context.new_page()
    for path in ("/?q=lid+or+mug&brand=cuppelo", "/?q=%28", "/api/docs"):
        page.goto(path, timeout=PATIENCE_MS)
        assert page.evaluate(measure) == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    context.close()
    assert (ground == "rgb(16, 19, 23)") == (scheme == "dark")


def test_a_browser_signs_in_and_out(browser: Browser, world: World) -> None:
    access = AccessSettings(auth="token", token="t" * 32)
    with serve(build_app(world.store, world.log, BRANDS, access=access)) as address:
        context = browser.new_context(base_url=address)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto("/?q=mug")
        expect(page.get_by_label("Token")).to_be_focused()
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("Found another token")
        page.get_by_label("Token").fill("t" * 32)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/?q=mug")
        expect(page.locator(".results > li").first).to_be_visible()
        # The page's own script asks the API with the cookie; no script can read it.
        assert page.evaluate("fetch('/api/books').then((answer) => answer.status)") == 200
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/sign-in")
        page.goto("/")
        expect(page.get_by_label("Token")).to_be_visible()
        context.close()
