"""``deepstd view``: the address it shows, its end, and its refusals."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from deepstd import api
from deepstd.cli.app import main
from deepstd.viewer.server import TOKEN_HEADER

PAGE = Path(__file__).resolve().parents[2] / "docs" / "view.md"
PROGRAM = "from deepstd.cli.app import main; import sys; sys.exit(main())"
SECONDS = 60


@pytest.fixture
def pair(tmp_path: Path, phantom: Callable[..., np.ndarray]) -> Path:
    """Folder of scan.npy and scan.dstd."""
    np.save(tmp_path / "scan.npy", phantom((12, 10, 8)))
    api.compress(tmp_path / "scan.npy", tmp_path / "scan.dstd", lossless=True)
    return tmp_path


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `deepstd view` without a display, and yield it with the address that it shows."""
    hidden = {key: value for key, value in os.environ.items() if "DISPLAY" not in key}
    with subprocess.Popen(
        (sys.executable, "-c", PROGRAM, "view", *arguments),
        cwd=folder,
        env=hidden,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def scene_at(url: str) -> dict[str, object]:
    """What the page at an address is told."""
    place, _, token = url.partition("#")
    request = urllib.request.Request(f"{place}scene", headers={TOKEN_HEADER: token})
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.load(answer)


def test_ctrl_c_ends_the_page(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = str(found.getsockname()[1])
    arguments = ("scan.dstd", "--against", "scan.npy", "--port", port)
    with running(pair, *arguments) as (process, url):
        assert re.fullmatch(rf"http://127\.0\.0\.1:{port}/#[\w-]{{32,}}", url)
        assert scene_at(url)["verdict"] == "Every voxel is that of scan.npy."
        assert main(["view", str(pair / "scan.dstd"), "--no-open", "--port", port]) == 1
        assert f"port {port}: cannot be used" in capsys.readouterr().err
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
    assert f"ssh -L {port}:127.0.0.1:{port} HOST" in told  # there is no display
    assert told.endswith("Ctrl-C ends the page\nended\n")


def test_the_browser_is_opened(
    pair: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("webbrowser.open", lambda url: not opened.append(url))
    monkeypatch.setattr("deepstd.viewer.server.ViewServer.serve", lambda server: None)
    assert main(["view", str(pair / "scan.dstd")]) == 0
    captured = capsys.readouterr()
    assert opened == [captured.out.strip()]
    assert "no browser" not in captured.err
    assert "ended after an hour without use" in captured.err


def test_refusals(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = (pair / "scan.dstd").read_bytes()
    (pair / "bad.dstd").write_bytes(data[:-9])
    np.save(pair / "other.npy", np.zeros((3, 4), np.int16))

    def told(code: int, *arguments: str) -> str:
        assert main(["view", *arguments, "--no-open"]) == code
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err

    scan = str(pair / "scan.dstd")
    assert "bad.dstd" in told(4, str(pair / "bad.dstd"))
    assert "not the same scan" in told(1, scan, "--against", str(pair / "other.npy"))
    assert "no such file" in told(1, scan, "--against", str(pair / "missing.nii"))
    assert "missing.dstd" in told(1, str(pair / "missing.dstd"))
    told(2, scan, "--port", "70000")


def shell_lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_commands_of_the_page(
    tmp_path: Path,
    phantom: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(phantom((12, 10, 8)), np.eye(4)), tmp_path / "ct.nii.gz")
    monkeypatch.chdir(tmp_path)
    served: list[int] = []
    monkeypatch.setattr(
        "deepstd.viewer.server.ViewServer.serve", lambda server: served.append(server.server_port)
    )
    monkeypatch.setattr("webbrowser.open", lambda url: True)
    lines = [shlex.split(line, comments=True) for line in shell_lines()]
    ours = [words[1:] for words in lines if words and words[0] == "deepstd"]
    for words in ours:
        assert main(words) == 0, capsys.readouterr().err
    assert len(served) == sum(words[0] == "view" for words in ours) >= 3
    assert 8700 in served


def test_python_of_the_page(
    tmp_path: Path, phantom: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("anywidget", reason="pip install 'deepstd[view]'")
    np.save(tmp_path / "ct.npy", phantom((12, 10, 8)))
    api.compress(tmp_path / "ct.npy", tmp_path / "ct.dstd", lossless=True)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 1
    for line in blocks[0].strip().replace("ct.nii.gz", "ct.npy").splitlines():
        if line and not line.startswith("import"):
            widget = eval(line, {"deepstd": __import__("deepstd")})
            assert "application/vnd.jupyter.widget-view+json" in widget._repr_mimebundle_()[0]
