"""A scan, a file of it, and a page that shows both."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import deepstd
from deepstd.viewer.scene import Scene, load_scene
from deepstd.viewer.server import ViewServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
)
AFFINE = np.diag([2.0, 1.0, 3.0, 1.0])
SHAPE = (30, 26, 12)


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory, phantom: Callable[..., np.ndarray]) -> Path:
    """Folder of a scan like CT, scan.nii, and of scan.dstd, whose voxels err by up to 9."""
    folder = tmp_path_factory.mktemp("view")
    scan = deepstd.Volume(phantom(SHAPE) * 5 - 1000, AFFINE)
    deepstd.write(scan, folder / "scan.nii")
    deepstd.compress(folder / "scan.nii", folder / "scan.dstd", max_error=9)
    return folder


@pytest.fixture(scope="session")
def scene(pair: Path) -> Scene:
    """The scan beside its original."""
    return load_scene(pair / "scan.dstd", against=pair / "scan.nii")


@contextmanager
def serving(scene: Scene) -> Iterator[ViewServer]:
    """Serve a scene as long as the block lasts."""
    with ViewServer(scene) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(scene: Scene) -> Iterator[ViewServer]:
    """A server of the scan beside its original."""
    with serving(scene) as running:
        yield running


@pytest.fixture
def serve() -> Callable[[Scene], object]:
    """serve(scene): a context in which the scene is served."""
    return serving


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium that is installed on this machine, without a window."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install 'deepstd[dev]'")
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip(f"needs Chromium, under one of the names {', '.join(CHROMIUM)}")
    with sync_api.sync_playwright() as playwright:
        # No name but those of this machine leads anywhere; rebound.test leads here.
        rules = "MAP rebound.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        browser = playwright.chromium.launch(
            executable_path=program, args=[*FLAGS, f"--host-resolver-rules={rules}"]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """open_page(url, width, **context): a page whose requests and complaints are kept.

    At the end no page has asked another server, and none has complained.
    """
    contexts, asked, complaints = [], [], []

    def open_one(url: str, width: int = 1280, *, fails: bool = False, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 844}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda request: asked.append(request.url))
        if not fails:
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda line: complaints.extend([line.text] * (line.type == "error")))
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []
    assert [
        url
        for url in asked
        if not url.startswith(("http://127.0.0.1:", "http://rebound.test:", "blob:"))
    ] == []
