"""The page in Chromium: pictures, controls, keys, touch, and what other sites cannot do."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import deepstd
from deepstd.viewer.scene import Scene, load_scene
from deepstd.viewer.server import TOKEN_HEADER, ViewServer

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
Serve = Callable[[Scene], AbstractContextManager[ViewServer]]
SHOWN = "section.plane:not([hidden])[data-shown]"
CANVAS = """([plane, title]) => {
    const all = [...document.querySelectorAll(`canvas[aria-label="${title}, ${plane}"]`)];
    const canvas = all.find((one) => !one.closest("figure").hidden);
    const { width, height } = canvas;
    const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    return { width, height, data: [...data] };
}"""


def picture(page: Page, plane: str, title: str) -> np.ndarray:
    """Pixels of a visible picture, (rows, columns, red green blue)."""
    found = page.evaluate(CANVAS, [plane, title])
    pixels = np.array(found["data"], np.uint8).reshape(found["height"], found["width"], 4)
    assert (pixels[..., 3] == 255).all()
    return pixels[..., :3]


def shows(page: Page, plane: str, index: int, frame: int = 0) -> None:
    """Wait until a slice of a plane is painted."""
    page.wait_for_selector(f'section.plane[data-shown="{plane} {index} {frame}"]')


def grey(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip(np.floor((values - low) * (255 / (high - low)) + 0.5), 0, 255)


def settle(page: Page) -> None:
    """Wait until the page has drawn its state."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def press(page: Page, *keys: str) -> None:
    """Press keys, each once the page has drawn what the one before did."""
    for key in keys:
        page.keyboard.press(key)
        settle(page)


def test_pictures_are_those_of_numpy(open_page: Open, server: ViewServer, pair: Path) -> None:
    page = open_page(server.url)
    original = np.asarray(deepstd.read(pair / "scan.nii"))
    restored = np.asarray(deepstd.decompress(pair / "scan.dstd"))
    page.wait_for_function("() => document.querySelectorAll('[data-shown]').length === 3")
    assert page.title() == "scan.dstd – DeepSTD"
    before, after = (cube[::-1, ::-1, 6].T for cube in (original, restored))
    for title, values in (("Original", before), ("Restored", after)):
        shown = picture(page, "axial", title)
        for colour in range(3):
            np.testing.assert_array_equal(shown[..., colour], grey(values, -160, 240))
    errors = after.astype(int) - before
    shown = picture(page, "axial", "Restored − original").astype(int)
    limit = float(page.input_value("label:has-text('Difference') input"))
    assert limit == 9
    assert (shown[errors == 0] == 0).all()
    assert (shown[errors == 9] == (255, 140, 30)).all()
    assert (shown[errors == -9] == (60, 160, 255)).all()
    # Voxels of 2 x 1 x 3 mm.
    box = page.locator("section[aria-label=Coronal] .frame:visible").first.bounding_box()
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(30 * 2 / (12 * 3), rel=0.02)


def test_sliders_keys_and_clicks(open_page: Open, server: ViewServer, pair: Path) -> None:
    page = open_page(server.url)
    original = np.asarray(deepstd.read(pair / "scan.nii"))
    restored = np.asarray(deepstd.decompress(pair / "scan.dstd"))
    shows(page, "axial", 6)

    def told(*index: int) -> str:
        one, other = int(original[index]), int(restored[index])
        text = (
            f"Voxel ({', '.join(map(str, index))}): original {one}, restored {other}, difference "
        )
        return (text + f"{other - one:+d}".replace("+0", "0")).replace("-", "−")

    readout = page.locator("output.readout")
    assert readout.inner_text() == told(15, 13, 6)
    page.focus("input[aria-label='Axial: slice']")
    press(page, "ArrowRight", "ArrowRight")
    shows(page, "axial", 8)
    assert page.inner_text("section[aria-label=Axial] output") == "9 / 12"
    assert readout.inner_text() == told(15, 13, 8)
    press(page, "End")
    shows(page, "axial", 11)
    press(page, "3")
    page.focus("main")
    press(page, "ArrowUp")
    shows(page, "sagittal", 16)
    assert page.locator("section.plane:visible").count() == 1
    press(page, "4")
    assert page.locator("section.plane:visible").count() == 3
    # The patient's right is on the left: a click there is at a high first index.
    frame = page.locator("section[aria-label=Axial] .frame:visible").first
    box = frame.bounding_box()
    assert box is not None
    frame.click(position={"x": box["width"] * 0.05, "y": box["height"] * 0.02})
    shows(page, "sagittal", 28)
    shows(page, "coronal", 25)
    assert readout.inner_text() == told(28, 25, 11)
    frame.hover()
    page.mouse.wheel(0, -100)
    shows(page, "axial", 10)


def test_windows(open_page: Open, server: ViewServer, pair: Path) -> None:
    page = open_page(server.url)
    shows(page, "axial", 6)
    original = np.asarray(deepstd.read(pair / "scan.nii"))[::-1, ::-1, 6].T

    def matches(low: float, high: float) -> bool:
        expected = grey(original.astype(float), low, high)
        return np.array_equal(picture(page, "axial", "Original")[..., 0], expected)

    assert matches(-160, 240)
    page.select_option("label:has-text('Window') select", "Lung")
    settle(page)
    assert matches(-1350, 150)
    page.focus("main")
    press(page, "w")
    assert matches(-500, 1300)
    page.fill("label:has-text('Level') input", "-800")
    page.fill("label:has-text('Width') input", "300")
    page.set_viewport_size({"width": 1000, "height": 500})  # as by the keyboard of a phone
    settle(page)
    press(page, "Enter")
    assert matches(-950, -650)
    assert page.input_value("label:has-text('Window') select") == "Own"
    page.fill("label:has-text('Width') input", "0")  # is no width
    press(page, "Enter")
    assert page.input_value("label:has-text('Width') input") == "300"


def test_the_largest_error_is_found_when_zoomed(open_page: Open, server: ViewServer) -> None:
    page = open_page(server.url)
    shows(page, "axial", 6)
    press(page, "+", "+", "+", "e")
    page.wait_for_function(
        "() => /difference [+−]9$/.test(document.querySelector('.readout').value)"
    )
    for lines in page.locator(".frame:visible").all():
        box = lines.bounding_box()
        assert box is not None
        for name in ("h", "v"):
            cross = lines.locator(f".cross.{name}").bounding_box()
            assert cross is not None
            assert box["x"] - 1 <= cross["x"] + cross["width"] / 2 <= box["x"] + box["width"] + 1
            assert box["y"] - 1 <= cross["y"] + cross["height"] / 2 <= box["y"] + box["height"] + 1
    transform = "document.querySelector('figure:not([hidden]) canvas').style.transform"
    assert f"scale({1.5**3})" in page.evaluate(transform)
    press(page, "0")
    assert "scale(1)" in page.evaluate(transform)


@pytest.fixture
def two_tones(tmp_path: Path) -> Scene:
    """A bright original beside a dark scan that is not made of it."""
    dark, bright = (np.full((20, 24), value, np.int16) for value in (20, 220))
    for scan in (dark, bright):
        scan[0, :2] = 0, 240
    deepstd.compress(dark, tmp_path / "dark.dstd", lossless=True)
    return load_scene(tmp_path / "dark.dstd", against=bright)


def test_swipe(open_page: Open, serve: Serve, two_tones: Scene) -> None:
    from io import BytesIO

    from PIL import Image

    with serve(two_tones) as server:
        page = open_page(server.url)
        shows(page, "image", 0)
        assert "Keep the original" in page.inner_text(".verdict.bad")
        page.select_option("label:has-text('Window') select", "Full range")
        page.uncheck("label:has-text('Crosshair') input")
        page.check("input[value=swipe]")
        frame = page.locator("figure:visible .frame").first

        def brightness() -> np.ndarray:
            settle(page)
            shot = Image.open(BytesIO(frame.screenshot())).convert("L")
            row = np.asarray(shot)[shot.height // 3]
            return row[:: row.size // 20]

        row = brightness()
        assert (row[1:9] > 200).all()  # the original
        assert (row[12:19] < 60).all()  # the restored scan
        page.focus("input[aria-label^=Swipe]")
        press(page, "Home")
        assert (brightness()[1:19] < 60).all()
        box = frame.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 3, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + 40, steps=4)
        page.mouse.up()
        assert (brightness()[1:18] > 200).all()
        page.focus("main")
        press(page, "v")
        assert page.locator(".frame:visible").count() == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone(open_page: Open, server: ViewServer, scheme: str) -> None:
    page = open_page(server.url, 390, color_scheme=scheme, has_touch=True, is_mobile=True)
    shows(page, "axial", 6)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator(".frame:visible").count() == 2  # swipe and difference of one plane
    assert page.is_checked("input[value=swipe]")
    ground = page.evaluate("getComputedStyle(document.querySelector('main')).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(16, 19, 23)")
    frame = page.locator("section[aria-label=Axial] .frame:visible").last
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box is not None
    assert box["width"] > 340  # pictures lie below each other
    page.touchscreen.tap(box["x"] + box["width"] * 0.95, box["y"] + box["height"] * 0.5)
    page.wait_for_function("() => document.querySelector('.readout').value.startsWith('Voxel (1,')")
    page.wait_for_timeout(50)
    touch = page.context.new_cdp_session(page)
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for kind, away in (("touchStart", 20), ("touchMove", 30), ("touchMove", 40)):
        points = [
            {"x": middle[0] + side * away, "y": middle[1], "id": side + 1} for side in (-1, 1)
        ]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    settle(page)
    transform = frame.locator("canvas").evaluate("(canvas) => canvas.style.transform")
    assert "scale(2)" in transform
    assert page.evaluate("visualViewport.scale") == 1  # the picture is zoomed, not the page


def test_every_control_has_a_name(open_page: Open, server: ViewServer) -> None:
    page = open_page(server.url)
    shows(page, "axial", 6)
    controls = page.locator("main").get_by_role("slider").all()
    for role in ("button", "combobox", "spinbutton", "radio", "checkbox", "slider", "img"):
        found = page.locator("main").get_by_role(role)  # pyright: ignore[reportArgumentType]
        assert found.count() > 0, role
        snapshot = [one.aria_snapshot() for one in found.all()]
        assert all('"' in line.partition("\n")[0] for line in snapshot), snapshot
    assert len(controls) == 3
    assert page.evaluate("document.documentElement.lang") == "en"
    press(page, "Tab")
    outline = "getComputedStyle(document.activeElement.closest('label') ?? document.activeElement)"
    assert page.evaluate(f"{outline}.outlineStyle") == "solid"


def test_frames(open_page: Open, serve: Serve, tmp_path: Path) -> None:
    voxels = np.arange(6 * 7 * 5 * 3, dtype=np.int16).reshape(6, 7, 5, 3)
    deepstd.compress(voxels, tmp_path / "a.dstd", lossless=True)
    with serve(load_scene(tmp_path / "a.dstd")) as server:
        page = open_page(server.url)
        shows(page, "axis 2", 2, 0)
        assert page.locator(".frame:visible").count() == 3  # the restored scan alone, three planes
        page.focus("label:has-text('Frame') input")
        press(page, "End")
        shows(page, "axis 2", 2, 2)
        assert page.inner_text(".readout") == f"Voxel (3, 3, 2): restored {voxels[3, 3, 2, 2]}"
        assert "Lossless" in page.inner_text("aside")


def test_a_wrong_token_and_an_ended_page(open_page: Open, pair: Path) -> None:
    program = "from deepstd.cli.app import main; import sys; sys.exit(main())"
    command = (sys.executable, "-c", program, "view", str(pair / "scan.dstd"), "--no-open")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        page = open_page(f"{url}x", fails=True)
        page.wait_for_selector("[role=alert]")
        assert "Open the address" in page.inner_text("[role=alert]")
        page = open_page(url, fails=True)
        shows(page, "axial", 6)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    page.focus("main")
    press(page, "ArrowUp")
    page.wait_for_selector("[role=alert]:visible")
    assert page.inner_text("[role=alert]") == "The page has ended. Run the command again."


@pytest.fixture
def other_site() -> Iterator[str]:
    """Address of another site, which has an empty page."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.send_header("Content-Type", "text/html")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing to stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}/"
        site.shutdown()
        thread.join()


def test_no_other_site_reads_the_scan(open_page: Open, server: ViewServer, other_site: str) -> None:
    page = open_page(other_site, fails=True)
    place = server.url.partition("#")[0]
    fetch = "([url, headers]) => fetch(url, { headers }).then((r) => r.text(), (e) => `${e}`)"
    for headers in ({}, {TOKEN_HEADER: server.token}):  # even one that knows the token
        assert "Failed to fetch" in page.evaluate(fetch, [f"{place}scene", headers])
    load = """(url) => new Promise((done) => {
        const script = document.createElement("script");
        script.onload = () => done("read");
        script.onerror = () => done("refused");
        script.src = url;
        document.head.append(script);
    })"""
    # Other ports of one host are the same site, so a script without data may be loaded.
    assert page.evaluate(load, f"{place}scene") == "refused"
    inside = """(url) => new Promise((done) => {
        const frame = document.createElement("iframe");
        frame.onload = () => done();
        frame.src = url;
        document.body.append(frame);
    })"""
    page.evaluate(inside, server.url)
    assert [frame.locator("canvas").count() for frame in page.frames] == [0, 0]


def test_a_rebound_name_is_refused(open_page: Open, server: ViewServer) -> None:
    rebound = server.url.replace("127.0.0.1", "rebound.test")
    page = open_page(rebound, fails=True)
    assert page.evaluate("location.hostname") == "rebound.test"
    assert "answers at http://127.0.0.1" in page.inner_text("body")
    assert page.locator("main").count() == 0
