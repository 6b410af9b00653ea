"""The page in notebooks: a widget whose messages carry slices, and nothing else does."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import deepstd
from deepstd.viewer.assets import page_file, script
from deepstd.viewer.scene import Scene
from deepstd.viewer.widget import reply, widget_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

# A model as anywidget hands it to a widget: messages go to the kernel, and come back with bytes.
HARNESS = """async () => {
    const url = URL.createObjectURL(new Blob([window.esm], { type: "text/javascript" }));
    const widget = (await import(url)).default;
    const listeners = new Set();
    const model = {
        on: (name, listen) => listeners.add(listen),
        off: (name, listen) => listeners.delete(listen),
        send: async (message) => {
            const [head, data] = await window.kernel(message);
            // At an odd offset, as in messages of a notebook.
            const bytes = Uint8Array.from([0, ...data]);
            const buffers = data.length ? [new DataView(bytes.buffer, 1)] : [];
            listeners.forEach((listen) => listen(head, buffers));
        },
    };
    const el = document.body.appendChild(document.createElement("div"));
    window.end = widget.render({ model, el });
    window.listening = () => listeners.size;
}"""


def test_messages_carry_the_description_and_slices(scene: Scene) -> None:
    head, buffers = reply(scene, {"id": "a-1", "ask": "scene"})
    assert head == {"id": "a-1"}
    assert json.loads(buffers[0])["name"] == "scan.dstd"
    asked = {"id": "a-2", "ask": "slice", "plane": "axial", "index": 3, "frame": 0}
    assert reply(scene, asked) == ({"id": "a-2"}, [scene.slice("axial", 3, 0)])


@pytest.mark.parametrize(
    "asked", [{}, {"plane": "axial"}, {"plane": "axial", "index": 99, "frame": 0}, {"index": None}]
)
def test_messages_that_ask_for_nothing(scene: Scene, asked: dict[str, Any]) -> None:
    head, buffers = reply(scene, {"id": "a", "ask": "slice", "plane": "axial", "frame": 0, **asked})
    assert head["id"] == "a"
    assert head["error"].startswith("There is no such slice")
    assert buffers == []


def test_the_widget_answers_messages(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("anywidget", reason="pip install 'deepstd[view]'")
    widget = widget_of(scene)
    sent: list[tuple[Any, Any]] = []
    monkeypatch.setattr(widget, "send", lambda head, buffers: sent.append((head, buffers)))
    asked = {"id": "a", "ask": "slice", "plane": "axial", "index": 3, "frame": 0}
    widget._handle_custom_msg(asked, [])
    assert sent == [({"id": "a"}, [scene.slice("axial", 3, 0)])]


def test_a_saved_notebook_holds_nothing_of_the_scan(pair: Path) -> None:
    pytest.importorskip("anywidget", reason="pip install 'deepstd[view]'")
    widget = deepstd.view(pair / "scan.dstd", against=np.asarray(deepstd.read(pair / "scan.nii")))
    state = {
        name: value for name, value in widget.get_state().items() if name not in ("_esm", "_css")
    }
    assert widget.get_state()["_esm"] == script()
    assert widget.get_state()["_css"] == page_file("viewer.css")
    assert "scan" not in json.dumps(state, default=str)
    assert "application/vnd.jupyter.widget-view+json" in widget._repr_mimebundle_()[0]


def test_without_anywidget(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(deepstd.MissingExtraError, match=r'pip install "deepstd\[view\]"'):
        deepstd.view(pair / "scan.dstd")


def test_the_page_over_messages(open_page: Callable[..., Page], scene: Scene) -> None:
    page = open_page("about:blank")

    def kernel(asked: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        head, buffers = reply(scene, asked)
        return head, list(b"".join(buffers))

    page.expose_function("kernel", kernel)
    page.evaluate("(text) => (window.esm = text)", script())
    page.add_style_tag(content=page_file("viewer.css"))
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    page.evaluate(HARNESS)
    page.wait_for_function("() => document.querySelectorAll('[data-shown]').length === 3")
    assert page.inner_text(".readout").startswith("Voxel (15, 13, 6): original ")
    ground = "getComputedStyle(document.querySelector('.deepstd-viewer')).backgroundColor"
    assert page.evaluate(ground) == "rgb(16, 19, 23)"  # JupyterLab's theme is dark
    page.click("section[aria-label=Axial] .frame:visible >> nth=0")
    page.keyboard.press("ArrowUp")
    page.wait_for_selector('section.plane[data-shown="axial 7 0"]')
    assert page.evaluate("window.listening()") == 1
    page.evaluate("window.end()")
    page.wait_for_function("() => window.listening() === 0")
