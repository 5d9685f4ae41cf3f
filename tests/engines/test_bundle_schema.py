"""Two versions of the manifest: what the first must have, what the second may leave out, and named assets."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.hostile_bundle import Draft, edit, put

from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import BundleError
from handfirst.engines.manifest import read_manifest, write_manifest
from handfirst.engines.verify import verify

PALETTE = b'{"red": [255, 0, 0]}'


def written(folder: Path, *changes: Callable[[Draft], Any], **files: bytes) -> Path:
    draft = Draft(files={"palette.json": PALETTE, **files})
    for change in changes:
        change(draft)
    return draft.write(folder)


def test_an_asset_is_reached_by_its_name(tmp_path: Path) -> None:
    bundle = Bundle.open(written(tmp_path / "b"))
    assert bundle.manifest.schema_version == 2
    assert bundle.asset("palette") == PALETTE
    with pytest.raises(BundleError, match="no asset colours; the bundle has palette"):
        bundle.asset("colours")


def test_an_asset_is_trusted_on_the_bytes_that_are_read(tmp_path: Path) -> None:
    bundle = Bundle.open(written(tmp_path / "b"))
    file = tmp_path / "b" / "palette.json"
    file.write_bytes(PALETTE.replace(b"255", b"254"))
    with pytest.raises(BundleError, match=r"palette\.json was altered"):
        bundle.asset("palette")
    file.write_bytes(PALETTE + b" ")
    with pytest.raises(BundleError, match=rf"palette\.json expected {len(PALETTE)} bytes, got {len(PALETTE) + 1}"):
        bundle.asset("palette")
    file.unlink()
    file.symlink_to(tmp_path / "b" / "tokenizer.json")
    with pytest.raises(BundleError, match=r"palette\.json is a link"):
        bundle.asset("palette")


def test_a_bundle_without_a_tokenizer_verifies(tmp_path: Path) -> None:
    bundle = Bundle.open(
        written(tmp_path / "b", edit(lambda m: (m.pop("tokenizer"), m["files"].pop("tokenizer.json"))))
    )
    with pytest.raises(BundleError, match="expected a tokenizer, the bundle has none"):
        bundle.tokenizer()
    checks = {check.name: check.ok for check in verify(bundle, "cpu", 1)}
    assert checks.keys() == {"engine", "version", "conv.onnx", "conv.weights", "palette.json", "golden.npz", "conv"}
    assert all(checks.values())


def test_the_digest_covers_the_assets(tmp_path: Path) -> None:
    first, again, other = (
        Bundle.open(written(tmp_path / name, **{"palette.json": data})).digest
        for name, data in (("a", PALETTE), ("b", PALETTE), ("c", b"{}"))
    )
    assert first == again != other


def test_the_first_version_is_read_as_it_was_written(tmp_path: Path) -> None:
    old = edit(lambda m: (m.update(schema_version=1), m.pop("assets")))
    bundle = Bundle.open(written(tmp_path / "b", old))
    assert (bundle.manifest.schema_version, bundle.manifest.assets) == (1, {})
    assert bundle.tokenizer() == b"{}"
    with pytest.raises(BundleError, match="no asset palette; the bundle has none"):
        bundle.asset("palette")


@pytest.mark.parametrize("change", [put("tokenizer", value=None), edit(lambda m: m.pop("tokenizer"))])
def test_the_first_version_has_a_tokenizer(change: Callable[[Draft], Any], tmp_path: Path) -> None:
    old = edit(lambda m: (m.update(schema_version=1), m.pop("assets")))
    with pytest.raises(BundleError, match="schema 1 has a tokenizer and no assets"):
        Bundle.open(written(tmp_path / "b", old, change))


def test_a_manifest_is_what_was_written(tmp_path: Path) -> None:
    manifest = Bundle.open(written(tmp_path / "b")).manifest
    write_manifest(tmp_path, manifest)
    data = (tmp_path / "manifest.json").read_bytes()
    assert read_manifest(data, "x") == manifest
    assert json.loads(data)["assets"] == {"palette": "palette.json"}
