"""``model``: list, description and check of bundles.

folders ─ bundle.available ─▶ list        bundle.load (hashes) ─▶ show, verify
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deepstd.cli import console, options
from deepstd.errors import BundleError

app = typer.Typer(
    help="List, show and verify model bundles.", no_args_is_help=True, rich_markup_mode=None
)
Name = Annotated[str, typer.Argument(metavar="BUNDLE", help="Name or folder of a bundle.")]


def summary(folder: Path) -> dict[str, Any]:
    """Describe a bundle and check its hashes; a damaged bundle is reported, not raised."""
    from deepstd import bundle as bundles

    nbytes = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    found = {"name": folder.name, "folder": str(folder), "bytes": nbytes}
    try:
        bundle = bundles.load(folder)
    except BundleError as error:
        return {**found, "ok": False, "problem": str(error)}
    manifest = bundle.manifest
    return {
        **found,
        "name": manifest.name,
        "version": manifest.version,
        "digest": bundle.reference.digest.hex(),
        "modality": manifest.modality,
        "body_part": manifest.body_part,
        "axes": sorted(int(part) for part in manifest.networks if part.isdigit()),
        "template": manifest.shape is not None,
        "ok": True,
        "problem": None,
    }


@app.command("list")
def list_(as_json: options.Json = False) -> None:
    """List the installed bundles."""
    from deepstd import bundle as bundles

    found = [summary(folder) for folder in bundles.available()]
    if as_json:
        console.result_json(found)
        return
    if not found:
        console.note("no bundle is installed; `deepstd train` makes one")
        return
    rows = [
        [
            entry["name"],
            entry["version"],
            " and ".join(f"{n}-D" for n in entry["axes"]),
            "yes" if entry["template"] else "no",
            entry["modality"],
            entry["body_part"],
            console.size(entry["bytes"]),
        ]
        if entry["ok"]
        else [entry["name"], "damaged", "", "", "", "", console.size(entry["bytes"])]
        for entry in found
    ]
    head = ("name", "version", "axes", "template", "modality", "body part", "size")
    console.result(console.table(head, rows))


@app.command()
def show(name: Name, as_json: options.Json = False) -> None:
    """Show the description and the model card of a bundle."""
    from deepstd import bundle as bundles

    folder = bundles.find(name)
    bundle = bundles.load(folder)
    manifest = bundle.manifest
    if as_json:
        described = manifest.model_dump(mode="json")
        console.result_json({**summary(folder), "manifest": described, "card": bundle.card})
        return
    entries = [
        ("bundle", f"{manifest.name} {manifest.version} ({bundle.reference.digest.hex()})"),
        ("folder", str(folder)),
        ("licence", manifest.licence),
    ]
    console.result(console.pairs(entries) + "\n\n" + bundle.card.rstrip())


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="BUNDLE", help="Names or folders. Default: all installed bundles."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Check every file of a bundle against its hash."""
    from deepstd import bundle as bundles

    folders = [bundles.find(name) for name in names] if names else bundles.available()
    found = [summary(folder) for folder in folders]
    if as_json:
        console.result_json(found)
    else:
        for entry in found:
            state = f"ok ({entry['digest']})" if entry["ok"] else f"damaged: {entry['problem']}"
            console.result(f"{entry['name']}: {state}")
    if not all(entry["ok"] for entry in found):
        raise typer.Exit(BundleError.exit_code)
