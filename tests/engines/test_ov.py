"""OpenVINO against onnxruntime, on graphs made here and on the demo's hand UNet; and that nothing unchecked gets in."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from handfirst.engines import ov
from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.cache import EngineCache
from handfirst.engines.errors import BundleError, EngineError
from handfirst.engines.graph import Graph
from handfirst.engines.ort import OrtEngine
from handfirst.engines.psnr import psnr
from handfirst.engines.spec import EngineSpec, TensorSpec

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
ELEMENTS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "int64": TensorProto.INT64}
WIDTH = 48


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    """The default one, in a folder of this test."""
    monkeypatch.setenv("HANDFIRST_CACHE", str(tmp_path / "cache"))
    return EngineCache()


def tensor(name: str, dtype: str, *shape: int | str) -> TensorSpec:
    return TensorSpec.model_validate({"name": name, "dtype": dtype, "shape": shape})


def graph(
    nodes: list[onnx.NodeProto],
    spec: EngineSpec,
    weights: Mapping[str, Array],
    digest: str = "",
    external: str | None = None,
) -> Graph:
    """With `external`, the first weight lies in the file of that name."""
    ends = [
        [helper.make_tensor_value_info(t.name, ELEMENTS[t.dtype], list(t.shape)) for t in tensors]
        for tensors in (spec.inputs, spec.outputs)
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    data = {}
    if external is not None:
        first = initializers[0]
        data[external] = bytes(first.raw_data)
        first.ClearField("raw_data")
        first.data_location = TensorProto.EXTERNAL
        for key, value in {"location": external, "offset": "0", "length": str(len(data[external]))}.items():
            first.external_data.add(key=key, value=value)
    body = helper.make_graph(nodes, "g", ends[0], ends[1], initializers)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Graph("tiny", spec, model.SerializeToString(), data, digest=digest, source="tiny.onnx")


def layers(digest: str = "", external: str | None = None, channels: int | str = WIDTH) -> Graph:
    """y = a linear layer of gelu(convolution) in float32, whose weights are stored as float16; t is added."""
    kernel = RNG.standard_normal((WIDTH, WIDTH, 3, 3)).astype(np.float16) / 20
    linear = RNG.standard_normal((WIDTH, WIDTH)).astype(np.float16) / 7
    nodes = [
        helper.make_node("Cast", ["k16"], ["k"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["w16"], ["w"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Gelu", ["c"], ["g"]),
        helper.make_node("Transpose", ["g"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("MatMul", ["last", "w"], ["m"]),
        helper.make_node("Cast", ["t"], ["time"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["time", "column"], ["row"]),
        helper.make_node("Add", ["m", "row"], ["y"]),
        helper.make_node("Add", ["t", "one"], ["later"]),
    ]
    weights = {"k16": kernel, "w16": linear, "column": np.array([-1, 1, 1, 1]), "one": np.array(1)}
    spec = EngineSpec(
        inputs=(tensor("x", "float32", "b", channels, "h", "w"), tensor("t", "int64", "b")),
        outputs=(tensor("y", "float32", "b", "h", "w", WIDTH), tensor("later", "int64", "b")),
    )
    return graph(nodes, spec, weights, digest, external)


def feed(batch: int = 2, side: int = 8) -> dict[str, Array]:
    x = RNG.standard_normal((batch, WIDTH, side, side)).astype(np.float32)
    return {"x": x, "t": np.arange(batch, dtype=np.int64)}


def closeness(made: Graph, inputs: dict[str, Array], precision: str = "float32") -> float:
    """Worst PSNR in dB against onnxruntime; dtypes and shapes must agree."""
    expected = OrtEngine(made).run(inputs)
    answer = ov.OvEngine(made, precision).run(inputs)
    assert {k: (v.dtype, v.shape) for k, v in answer.items()} == {k: (v.dtype, v.shape) for k, v in expected.items()}
    return min(psnr(value, answer[name]) for name, value in expected.items())


def demo_unet() -> tuple[Graph, dict[str, Array]]:
    bundle = Bundle.open(demo_bundle_path())
    made, golden = bundle.graph("hand_unet"), bundle.golden()
    return made, {t.name: golden[f"hand_unet.in.{t.name}"].astype(t.dtype) for t in made.spec.inputs}


def has_bfloat16() -> bool:
    return "BF16" in ov._capabilities()


def test_float32_is_float32_though_weights_are_stored_as_float16() -> None:
    assert closeness(layers(), feed()) >= 100


def test_the_demos_hand_unet_in_float32() -> None:
    made, inputs = demo_unet()
    assert closeness(made, inputs) >= 100


@pytest.mark.parametrize("make", [lambda: (layers(), feed()), demo_unet], ids=["layers", "the demo's hand UNet"])
def test_bfloat16_is_coarser_or_refused(make: Callable[[], tuple[Graph, dict[str, Array]]]) -> None:
    made, inputs = make()
    if has_bfloat16():
        assert 25 <= closeness(made, inputs, "bfloat16") < 90
    else:
        with pytest.raises(EngineError, match="does not compute bfloat16"):
            ov.OvEngine(made, "bfloat16")


def test_a_cpu_without_bfloat16_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ov, "_capabilities", lambda: ["FP32"])
    with pytest.raises(EngineError, match="use engine openvino instead"):
        ov.OvEngine(layers(), "bfloat16")
    ov.OvEngine(layers())


def test_another_precision_is_refused() -> None:
    with pytest.raises(EngineError, match="float32, bfloat16, got 'float16'"):
        ov.OvEngine(layers(), "float16")


def test_float16_tensors_and_scalars() -> None:
    spec = EngineSpec(
        inputs=(tensor("x", "float16", "n"), tensor("s", "float32")),
        outputs=(tensor("y", "float16", "n"), tensor("u", "float32")),
    )
    nodes = [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Neg", ["s"], ["u"])]
    assert closeness(graph(nodes, spec, {}), {"x": np.arange(5, dtype=np.float16), "s": np.float32(2)[()]}) > 100


@pytest.mark.parametrize("digest", ["", "ab" * 32])
def test_shapes_come_and_go(digest: str) -> None:
    made = layers(digest)
    engine, reference = ov.OvEngine(made), OrtEngine(made)
    for batch, side in [(1, 4), (2, 4), (3, 4), (1, 8), (2, 8), (1, 4), (3, 5)]:
        inputs = feed(batch, side)
        assert psnr(reference.run(inputs)["y"], engine.run(inputs)["y"]) >= 100
        assert len(engine._compiled) <= ov.MOST_SHAPES


def test_outputs_are_owned_and_inputs_untouched() -> None:
    engine, inputs = ov.OvEngine(layers()), feed()
    before = {k: v.copy() for k, v in inputs.items()}
    first = engine.run(inputs)
    kept = {k: v.copy() for k, v in first.items()}
    assert all(value.flags.owndata and value.flags.writeable for value in first.values())
    engine.run(feed())
    for name, value in kept.items():
        np.testing.assert_array_equal(first[name], value)
    for name, value in before.items():
        np.testing.assert_array_equal(inputs[name], value)


def test_views_and_read_only_arrays_are_taken() -> None:
    engine, inputs = ov.OvEngine(layers()), feed()
    expected = engine.run(inputs)["y"]
    turned = np.asfortranarray(inputs["x"])
    turned.flags.writeable = False
    np.testing.assert_array_equal(engine.run({**inputs, "x": turned})["y"], expected)


def test_many_threads_at_once() -> None:
    made = layers()
    engine, reference = ov.OvEngine(made), OrtEngine(made)
    jobs = [feed(1 + i % 2, 6) for i in range(8)]
    expected = [reference.run(job)["y"] for job in jobs]
    answers: dict[int, list[float]] = {}

    def work(i: int) -> None:
        answers[i] = [psnr(expected[i], engine.run(jobs[i])["y"]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(jobs) and min(min(each) for each in answers.values()) >= 100


def test_inputs_are_checked_and_a_closed_engine_says_so() -> None:
    engine = ov.OvEngine(layers())
    with pytest.raises(EngineError, match=r"tiny: input 'x' expected float32 \[b, 48, h, w\], got float64"):
        engine.run({**feed(), "x": feed()["x"].astype(np.float64)})
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="tiny: the engine is closed"):
        engine.run(feed())


class Counting(EngineCache):
    """Tells what was asked of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.found: list[bool] = []
        self.kept = 0

    def load(self, key: Any) -> bytes | None:
        blob = super().load(key)
        self.found.append(blob is not None)
        return blob

    def store(self, key: Any, blob: bytes) -> Path | None:
        self.kept += 1
        return super().store(key, blob)


def test_what_was_compiled_is_kept_and_gives_the_same_numbers(tmp_path: Path) -> None:
    cache, inputs = Counting(tmp_path / "c"), feed()
    made = layers("ab" * 32)
    first = ov.OvEngine(made, cache=cache).run(inputs)
    again = ov.OvEngine(made, cache=cache).run(inputs)
    assert (cache.found, cache.kept) == ([False, True], 1)
    assert psnr(OrtEngine(made).run(inputs)["y"], again["y"]) >= 100  # float32 also when it comes from the cache
    np.testing.assert_allclose(first["y"], again["y"], rtol=1e-5, atol=1e-6)
    (entry,) = cache.entries()
    assert entry.key.graph == "ab" * 32 and "openvino" in entry.key.library
    assert "x=2x48x8x8" in entry.key.options and entry.key.options.startswith("f32 ")


def test_another_shape_graph_precision_or_thread_count_is_another_entry(tmp_path: Path) -> None:
    cache = Counting(tmp_path / "c")
    ov.OvEngine(layers("ab" * 32), threads=1, cache=cache).run(feed())
    ov.OvEngine(layers("ab" * 32), threads=2, cache=cache).run(feed())
    ov.OvEngine(layers("ab" * 32), threads=1, cache=cache).run(feed(1))
    ov.OvEngine(layers("cd" * 32), threads=1, cache=cache).run(feed())
    if has_bfloat16():
        ov.OvEngine(layers("ab" * 32), "bfloat16", threads=1, cache=cache).run(feed())
    assert not any(cache.found) and len(cache.entries()) == len(cache.found)


def test_an_altered_blob_is_compiled_again(tmp_path: Path) -> None:
    cache, inputs, made = Counting(tmp_path / "c"), feed(), layers("ab" * 32)
    expected = ov.OvEngine(made, cache=cache).run(inputs)["y"]
    (entry,) = cache.entries()
    data = bytearray(entry.path.read_bytes())
    data[-len(data) // 2] ^= 0x40  # among the weights: the library itself would not notice
    entry.path.write_bytes(data)
    np.testing.assert_array_equal(ov.OvEngine(made, cache=cache).run(inputs)["y"], expected)
    assert (cache.found, cache.kept) == ([False, False], 2)


def test_a_whole_blob_that_the_library_refuses_is_compiled_again(tmp_path: Path) -> None:
    cache, made = Counting(tmp_path / "c"), layers("ab" * 32)
    ov.OvEngine(made, cache=cache).run(feed())
    (entry,) = cache.entries()
    cache.store(entry.key, b"no blob")
    assert ov.OvEngine(made, cache=cache).run(feed())["y"].shape == (2, 8, 8, WIDTH)


@pytest.mark.parametrize(
    ("digest", "cache", "count"), [("", "default", 0), ("ab" * 32, None, 0), ("ab" * 32, "default", 1)]
)
def test_what_has_no_name_or_no_cache_is_not_kept(own_cache: EngineCache, digest: str, cache: Any, count: int) -> None:
    ov.OvEngine(layers(digest), cache=cache).run(feed())
    assert len(own_cache.entries()) == count


def test_external_weights_come_from_the_checked_bytes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, inputs = layers(external="weights.bin"), feed()
    monkeypatch.chdir(tmp_path)
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr(ov.tempfile, "tempdir", str(private))
    Path("weights.bin").write_bytes(bytes(len(made.data["weights.bin"])))  # zeros, where the library would look
    assert closeness(made, inputs) >= 100
    assert list(private.iterdir()) == []
    bare = Graph(made.role, made.spec, made.model, source=made.source)
    with pytest.raises(BundleError, match=r"tiny\.onnx: not a graph that OpenVINO can load"):
        ov.OvEngine(bare)
    assert list(private.iterdir()) == []


@pytest.mark.parametrize("place", ["../weights.bin", "/etc/passwd", "sub/weights.bin", ".."])
def test_external_weights_are_flat_files(place: str) -> None:
    made = layers(external="weights.bin")
    with pytest.raises(BundleError, match="no flat file name"):
        ov.OvEngine(Graph(made.role, made.spec, made.model, {place: b"x"}))


def test_a_full_temporary_folder_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EngineError, match=r"tiny\.onnx: OpenVINO needs 0 MB in .*No space left on device.*TMPDIR"):
        ov.OvEngine(layers())


@pytest.mark.parametrize("data", [b"", b"MZ" * 100, b"\x08\x0a" * 50])
def test_what_is_no_graph_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(BundleError) as caught:
        ov.OvEngine(Graph("tiny", layers().spec, data, source="some: tiny.onnx"))
    assert str(caught.value).startswith("some: tiny.onnx: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": (tensor("z", "float32", "b"),)}, "the manifest names inputs z, the graph has x, t"),
        ({"outputs": (tensor("z", "float32", "b"),)}, "the manifest names outputs z, the graph has y, later"),
        (
            {"inputs": (tensor("x", "float32", "b", 7, "h", "w"), tensor("t", "int64", "b"))},
            r"input x is float32 \['b', 7, 'h', 'w'\] in the manifest but float32 \[None, 48, None, None\] in the",
        ),
        (
            {"inputs": (tensor("x", "float32", "b", WIDTH, "h", "w"), tensor("t", "int32", "b"))},
            r"input t is int32 \['b'\] in the manifest but int64",
        ),
        (
            {"outputs": (tensor("y", "float32", "b", "h", "w"), tensor("later", "int64", "b"))},
            "output y is float32",
        ),
    ],
)
def test_a_graph_that_is_not_its_spec_is_refused(change: dict[str, Any], message: str) -> None:
    made = layers()
    wrong = Graph("tiny", made.spec.model_copy(update=change), made.model, source="tiny.onnx")
    with pytest.raises(BundleError, match=message):
        ov.OvEngine(wrong)


def test_missing_openvino_names_the_remedy() -> None:
    code = (
        "import sys; sys.modules['openvino'] = None\n"
        "from handfirst.engines.ov import import_openvino\n"
        "from handfirst.engines.errors import EngineError\n"
        "try: import_openvino()\n"
        "except EngineError as e: print(e)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'handfirst[openvino]'" in out
