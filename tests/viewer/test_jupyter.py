"""The widget in JupyterLab itself, with a kernel; needs `pip install jupyterlab`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

TOKEN = "token-of-the-test"
SECONDS = 120
CELL = "import deepstd\ndeepstd.view('scan.dstd', against='scan.nii')"


@pytest.fixture
def lab(tmp_path: Path, pair: Path) -> Iterator[str]:
    """Address of a JupyterLab in a folder with the scan and the notebook view.ipynb."""
    pytest.importorskip("jupyterlab", reason="pip install jupyterlab")
    pytest.importorskip("anywidget", reason="pip install 'deepstd[view]'")
    for name in ("scan.dstd", "scan.nii"):
        (tmp_path / name).write_bytes((pair / name).read_bytes())
    cell = {"cell_type": "code", "source": CELL, "id": "a", "metadata": {}, "outputs": []}
    notebook = {
        "cells": [{**cell, "execution_count": None}],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (tmp_path / "view.ipynb").write_text(json.dumps(notebook))
    hidden = {name: str(tmp_path / f".{name}") for name in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR")}
    command = (
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0"),
        *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={tmp_path}"),
    )
    with (tmp_path / ".log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, **hidden}, stdout=log, stderr=log)
        try:
            yield _address(tmp_path / ".log", process)
        finally:
            process.terminate()
            process.wait(SECONDS)


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Wait for the address in a log of JupyterLab."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if "http://127.0.0.1:" in line:
                port = line.partition("http://127.0.0.1:")[2].partition("/")[0]
                return f"http://127.0.0.1:{port}/"
        time.sleep(0.2)
    raise AssertionError(log.read_text()[-2000:])


@pytest.mark.slow
def test_jupyterlab(lab: str, open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page(f"{lab}lab/tree/view.ipynb?token={TOKEN}", fails=True)
    page.set_default_timeout(1000 * SECONDS)
    page.click(".jp-Notebook .jp-CodeCell")
    page.wait_for_selector(".jp-NotebookPanel-toolbar [data-status='idle']")
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector(".deepstd-viewer [data-shown]")
    assert page.inner_text(".deepstd-viewer .readout").startswith("Voxel (15, 13, 6): original ")
    page.click(".deepstd-viewer .frame:visible >> nth=0")
    page.keyboard.press("1")
    page.keyboard.press("ArrowUp")
    page.wait_for_selector('.deepstd-viewer [data-shown="axial 7 0"]')
    page.click(".jp-NotebookPanel-toolbar [data-command='docmanager:save']")
    request = urllib.request.Request(f"{lab}api/contents/view.ipynb?token={TOKEN}")
    deadline = time.monotonic() + SECONDS
    saved = ""
    while "widget-view+json" not in saved and time.monotonic() < deadline:
        time.sleep(0.2)
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            saved = answer.read().decode()
    assert "widget-view+json" in saved
    assert "original" not in saved  # no fact of the scan, and so no voxel
    assert len(saved) < 5000
