"""The page as a notebook widget.

page ─ {"id", "ask", plane, index, frame} ─▶ kernel ─ {"id"}, bytes ─▶ page

Messages go through the notebook's own connection, so no port is opened, and a notebook on a remote
machine works, too. Voxels and facts are sent as messages, so a saved notebook holds none.
"""

from __future__ import annotations

from typing import Any

from deepstd.extras import check_anywidget
from deepstd.inspection import AUTO
from deepstd.progress import Show
from deepstd.sources import PathLike, Source
from deepstd.viewer.assets import page_file, script
from deepstd.viewer.scene import Scene, load_scene


def view(
    source: PathLike,
    *,
    against: Source | None = None,
    series: str | None = None,
    model: str = AUTO,
    device: str = "auto",
    lossy: bool = False,
    progress: Show | None = None,
) -> Any:
    """Show a .dstd file beside its original in a notebook.

    Args:
        source: path or URL of a .dstd file.
        against: original scan: path or URL, several DICOM paths, a volume, or an array of
            real-world values; None to show the restored scan alone.
        series: id of the original's DICOM series, where its paths hold several.
        model: name or folder of the model bundle; "auto" finds the bundle that the file names.
        device: "auto", "cpu", "cuda" or "cuda:N".
        lossy: True to show the lossy part of a file with an exact part.
        progress: called with a sentence at each stage; None to show nothing.

    Returns:
        A widget that a notebook shows as the value of a cell.

    Raises:
        MissingExtraError: anywidget is not installed.
        ContainerError: the file is damaged.
        BundleError: the bundle is not installed, or damaged.
        DeviceError: the device is not available.
        InputError: the original cannot be read, or has another shape.
    """
    check_anywidget("deepstd.view")
    return widget_of(
        load_scene(
            source,
            against=against,
            series=series,
            model=model,
            device=device,
            lossy=lossy,
            progress=progress,
        )
    )


def widget_of(scene: Scene) -> Any:
    """Return the notebook widget of a scene."""
    import anywidget  # an optional package, which notebooks alone need

    class Viewer(anywidget.AnyWidget):
        """The page of a scene."""

        _esm = script()
        _css = page_file("viewer.css")

    widget = Viewer()

    def answer(_: object, asked: Any, buffers: object) -> None:
        head, data = reply(scene, asked)
        widget.send(head, data)

    widget.on_msg(answer)
    return widget


def reply(scene: Scene, asked: Any) -> tuple[dict[str, Any], list[bytes]]:
    """Return the answer to a message of the page: its head, and the bytes that go with it.

    Args:
        scene: scans to show.
        asked: "id" of the message, "ask" for "scene" or "slice", and "plane", "index" and "frame"
            of a slice.
    """
    head = {"id": asked.get("id")}
    if asked.get("ask") == "scene":
        return head, [scene.description.encode()]
    try:
        data = scene.slice(str(asked["plane"]), int(asked["index"]), int(asked["frame"]))
    except (KeyError, TypeError, ValueError) as error:  # InputError is a ValueError
        return {**head, "error": f"There is no such slice: {error}."}, []
    return head, [data]
