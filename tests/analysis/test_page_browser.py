"""The report page in a real browser: headless Chromium, from the disk, without a network."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright
from tests.analysis.synthetic import write_judged, write_run, write_study
from tests.helpers import read_lines, wait_for

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SWITCHES = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
ARMS = {("plain", 18): 56.0, ("plain", 110): 89.0, ("residual", 18): 47.0, ("residual", 110): 55.0}

LISTEN = """() => addEventListener("beforeprint", () => {
  const line = document.querySelectorAll("[data-chart=plain] path.js-line")[1];
  const width = document.querySelector("[data-chart=final]")._fullLayout.width;
  window.seen = [getComputedStyle(line).stroke, width];
})"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium here: apt-get install --no-install-recommends chromium"
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_study(tmp_path_factory.mktemp("outputs") / "depth_sweep" / "quick", 2, ARMS)
    write_run(folder, "plain", 110, 2, None)
    for name in ("forming.png", "forming.dark.png"):
        shutil.copy(ROOT / "results" / "depth_sweep" / "quick" / name, folder)
    write_judged(folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def told() -> dict[str, list[str]]:
    """What the browser said and asked for, over all tests."""
    return {"console": [], "requests": []}


@pytest.fixture(scope="module")
def opened(study: Path, told: dict[str, list[str]]) -> Iterator[Page]:
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES))
        context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.on("console", lambda message: told["console"].append(message.text))
        page.on("pageerror", lambda error: told["console"].append(str(error)))
        page.on("request", lambda request: told["requests"].append(request.url))
        page.goto((study / "report.html").as_uri())
        yield page
        browser.close()


@pytest.fixture
def page(opened: Page) -> Page:
    """As it was when it was opened."""
    opened.set_viewport_size({"width": 1280, "height": 900})
    opened.emulate_media(media="screen", color_scheme="light")
    opened.evaluate("() => { const form = document.getElementById('charts'); form.reset(); "
                    "form.dispatchEvent(new Event('change')); scrollTo(0, 0); }")  # fmt: skip
    opened.mouse.move(0, 0)
    wait_for(lambda: width(opened) > 400)
    return opened


def chart(page: Page, name: str) -> Locator:
    return page.locator(f"[data-chart={name}]")


def width(page: Page) -> float:
    """Of a panel, in pixels."""
    found: float = chart(page, "plain").evaluate("div => div._fullLayout.width")
    return found


def drawn(page: Page, name: str) -> int:
    """What the browser has drawn in a chart with points: bands aside, and of the final errors a
    line and its seeds.
    """
    return chart(page, name).locator("g.trace:has(path.point)").count()


def colour(page: Page, name: str = "plain") -> str:
    """Of the first line."""
    style: str = chart(page, name).locator("path.js-line").nth(1).evaluate(
        "line => getComputedStyle(line).stroke"
    )  # fmt: skip
    return style


def switch(page: Page, name: str, value: str) -> None:
    page.locator(f"input[name={name}][value={value}]").check()


def test_it_loads_without_a_complaint_or_a_request(
    page: Page, study: Path, told: dict[str, list[str]]
) -> None:
    expect(page).to_have_title("Depth sweep")
    assert [drawn(page, name) for name in ("plain", "residual")] == [2, 2]
    assert told["console"] == []
    assert [url for url in told["requests"] if not url.startswith("data:")] == [
        (study / "report.html").as_uri()
    ]


def test_no_button_sends_a_chart_anywhere(page: Page) -> None:
    """The library has one that shares charts, through a server of its makers."""
    titles = chart(page, "plain").locator(".modebar-btn").evaluate_all(
        "buttons => buttons.map(button => button.dataset.title)"
    )  # fmt: skip
    assert titles == ["Download plot", "Zoom", "Pan", "Reset axes"]


def test_a_click_hides_a_curve_and_shows_it_again(page: Page) -> None:
    key = page.locator(".key", has=page.locator("input[value=plain-110]"))
    key.click()
    assert [drawn(page, name) for name in ("plain", "residual")] == [1, 2]
    key.click()
    assert drawn(page, "plain") == 2


def test_the_keyboard_hides_a_curve(page: Page) -> None:
    box = page.get_by_label("110 layers").nth(1)
    page.locator("input[value=residual-18]").focus()
    page.keyboard.press("Tab")
    expect(box).to_be_focused()
    outline = box.locator("xpath=following-sibling::span")
    assert outline.evaluate("span => getComputedStyle(span).outlineStyle") == "solid"
    page.keyboard.press("Space")
    assert [drawn(page, name) for name in ("plain", "residual")] == [2, 1]


def point(page: Page, name: str, iteration: int, error: float) -> tuple[float, float]:
    """Where on the screen a chart has it."""
    place: Any = chart(page, name).evaluate(
        """(div, [x, y]) => {
          const { xaxis, yaxis } = div._fullLayout, box = div.getBoundingClientRect();
          return [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)];
        }""",
        [iteration, error],
    )
    return place[0], place[1]


@pytest.mark.parametrize(
    ("split", "key"),
    [("training", "eval/train_subset_error_pct"), ("test", "test/subset_error_pct")],
)
def test_what_a_point_says_on_hover_is_the_record(
    page: Page, study: Path, split: str, key: str
) -> None:
    runs = [read_lines(path) for path in study.glob("runs/residual-18-s*/metrics.jsonl")]
    errors = [row[key] for run in runs for row in run if row["iteration"] == 300]
    assert len(errors) == 2
    switch(page, "split", split)
    chart(page, "residual").scroll_into_view_if_needed()
    page.mouse.move(*point(page, "residual", 300, fmean(errors)))
    label = chart(page, "residual").locator(".hoverlayer")
    expect(label).to_contain_text("300")
    found = f"18 layers, {split} {fmean(errors):.2f} %"
    expect(label).to_contain_text(f"{found} ({min(errors):.2f} to {max(errors):.2f})")


def test_the_keyboard_opens_the_values_which_scroll_by_themselves(page: Page) -> None:
    page.set_viewport_size({"width": 170, "height": 780})
    wait_for(lambda: width(page) < 170)
    before = page.evaluate("document.documentElement.scrollWidth")
    values = page.locator("details.values").first
    table = values.locator(".scroll").first
    expect(table).to_be_hidden()
    values.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(table).to_be_visible()
    page.keyboard.press("Tab")
    expect(table).to_be_focused()
    assert table.evaluate("div => div.scrollWidth > div.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") == before
    page.keyboard.press("ArrowRight")
    wait_for(lambda: table.evaluate("div => div.scrollLeft") > 0)
    values.locator("summary").click()
    expect(table).to_be_hidden()


def test_the_values_need_no_script(study: Path, opened: Page) -> None:
    assert opened.context.browser
    context = opened.context.browser.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    page.goto((study / "report.html").as_uri())
    page.locator("details.values summary").first.click()
    expect(page.get_by_text("18 layers, n = 2").first).to_be_visible()
    context.close()


def test_training_and_test_are_switched(page: Page) -> None:
    title = chart(page, "plain").locator(".ytitle")
    expect(title).to_have_text("training error in %")
    line = chart(page, "plain").locator("path.js-line").nth(1)
    assert line.evaluate("line => getComputedStyle(line).strokeDasharray") == "6px, 3px"
    switch(page, "split", "both")
    assert [drawn(page, name) for name in ("plain", "final")] == [4, 8]
    switch(page, "split", "test")
    expect(title).to_have_text("test error in %")
    assert [drawn(page, name) for name in ("plain", "final")] == [2, 4]
    assert line.evaluate("line => getComputedStyle(line).strokeDasharray") == "none"


def test_linear_and_logarithmic_are_switched(page: Page) -> None:
    ticks = chart(page, "plain").locator(".ytick")
    linear = ticks.all_text_contents()
    switch(page, "scale", "log")
    assert [text for text in ticks.all_text_contents() if text] == ["50", "100"]
    switch(page, "scale", "linear")
    assert ticks.all_text_contents() == linear


def test_charts_begin_at_one_height_whatever_the_legends_need(page: Page) -> None:
    page.evaluate("""() => document.querySelector("[data-chart=plain]").parentElement
      .querySelector(".keys").append(...Array.from({length: 9}, () => Object.assign(
        document.createElement("span"), {textContent: "one more arm of many"})))""")
    tops = [page.locator(f"#chart-{kind}").bounding_box() for kind in ("plain", "residual")]
    assert tops[0]
    assert tops[1]
    assert tops[0]["y"] == pytest.approx(tops[1]["y"], abs=1)
    assert tops[0]["x"] < tops[1]["x"]


def test_two_taps_leave_the_panels_on_one_scale(page: Page) -> None:
    """A tap on a phone comes as two clicks, from which Plotly would rescale the one panel."""
    script = "div => div._fullLayout.yaxis.range.join()"
    before = [chart(page, name).evaluate(script) for name in ("plain", "residual")]
    assert before[0] == before[1]
    chart(page, "plain").locator(".nsewdrag").dblclick()
    page.wait_for_timeout(400)  # longer than it waits for a second click
    assert [chart(page, name).evaluate(script) for name in ("plain", "residual")] == before


def test_a_dark_page_has_dark_charts(page: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light, light_ground = colour(page), page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    wait_for(lambda: colour(page) != light)
    assert page.evaluate(ground) != light_ground


def test_a_figure_is_of_the_theme_and_light_on_paper(page: Page) -> None:
    def shown() -> list[bool]:
        return [page.locator(f".picture img.{name}").is_visible() for name in ("light", "dark")]

    assert shown() == [True, False]
    page.emulate_media(color_scheme="dark")
    assert shown() == [False, True]
    page.emulate_media(color_scheme="dark", media="print")
    assert shown() == [True, False]


def test_the_values_are_those_of_the_arms_shown(page: Page) -> None:
    def hidden(variant: str) -> list[bool]:
        page.evaluate("""variant => {
          const form = document.getElementById("charts");
          form.elements.variant.value = variant;
          form.dispatchEvent(new Event("change"));
        }""", variant)  # fmt: skip
        found: list[bool] = page.locator(".values .scroll").evaluate_all(
            "tables => tables.map(table => table.hidden)"
        )
        return found

    assert hidden("lr0.01") == [True] * 5  # a split of each kind, and the final errors
    assert hidden("") == [False] * 5


def test_a_phone_does_not_scroll_sideways(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 780})
    wait_for(lambda: width(page) < 360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    left = [chart(page, name).bounding_box() for name in ("plain", "residual")]
    assert left[0] is not None
    assert left[1] is not None
    assert left[0]["x"] == left[1]["x"]  # one above the other


def test_print_is_light_and_fits_the_paper(page: Page, tmp_path: Path) -> None:
    light = colour(page)
    page.emulate_media(color_scheme="dark")
    wait_for(lambda: colour(page) != light)
    page.evaluate(LISTEN)
    content = page.pdf(format="A4", prefer_css_page_size=True)
    assert content.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", content))
    assert 2 <= pages <= 8
    seen = page.evaluate("seen")
    assert seen[0] == light
    assert seen[1] <= 180 / 25.4 * 96  # A4 less its margins, in pixels
    wait_for(lambda: colour(page) != light)  # and the screen is as before
