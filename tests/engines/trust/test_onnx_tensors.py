"""What a tensor of an ONNX file may claim, and bytes that are no graph: against the onnx library."""

from __future__ import annotations

import tracemalloc

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from support.onnx_tensors import as_ours, key, tensors_of

from handfirst.engines.errors import BundleError
from handfirst.engines.graph import Graph
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.engines.trust import tensor_rules, wire
from handfirst.engines.trust.graph_rules import check_graph_file
from handfirst.engines.trust.onnx_file import EXTERNAL, OnnxFile, read_onnx
from handfirst.engines.trust.tensor_rules import BITS, STORES

EASY = [t for t in BITS if t not in (14, 15)]  # complex numbers are made by hand below
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


SPEC = EngineSpec(
    inputs=(TensorSpec(name="x", dtype="float32", shape=("n",)),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=("n",)),),
)


def holding(t: TensorProto) -> onnx.ModelProto:
    """x -> y, with one tensor that nothing uses."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    body = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:], [t])
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def check(t: TensorProto, data: dict[str, bytes] | None = None) -> None:
    check_graph_file(Graph("role", SPEC, holding(t).SerializeToString(), data or {}))


@pytest.mark.parametrize("data_type", EASY)
@pytest.mark.parametrize("dims", [(), (3,), (2, 0, 3), (5, 3)])
def test_every_type_needs_as_much_data_as_onnx_writes(data_type: int, dims: tuple[int, ...]) -> None:
    raw = numpy_helper.from_array(np.zeros(dims, helper.tensor_dtype_to_np_dtype(data_type)), "w")
    check(raw)
    count = int(np.prod(dims))
    stored = helper.make_tensor("w", data_type, dims, [0] * count)
    check(stored)
    for t in (raw, stored):
        t.dims[:] = [count + 9]
        with pytest.raises(BundleError, match=r"'w' .* expected .* bytes of data, got"):
            check(t)
    strange = TensorProto(name="w", data_type=data_type, dims=[1])
    store = next(store for store in STORES if data_type not in STORES[store])
    getattr(strange, store).append(0)
    with pytest.raises(BundleError, match="expected"):
        check(strange)


def test_complex_numbers_are_two() -> None:
    for data_type, store in ((TensorProto.COMPLEX64, "float_data"), (TensorProto.COMPLEX128, "double_data")):
        t = TensorProto(name="w", data_type=data_type, dims=[2])
        getattr(t, store).extend([0] * 4)
        check(t)
        getattr(t, store).append(0)
        with pytest.raises(BundleError):
            check(t)


def external(**place: str) -> TensorProto:
    t = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 3], data_location=EXTERNAL)
    for name, text in place.items():
        t.external_data.add(key=name, value=text)
    return t


@given(st.integers(-40, 60), st.integers(-40, 60), st.integers(0, 60))
@QUICK
def test_external_weights_lie_inside_their_file(offset: int, length: int, size: int) -> None:
    t = external(location="w.bin", offset=str(offset), length=str(length))
    if offset >= 0 and length == 24 and offset + length <= size:
        check(t, {"w.bin": bytes(size)})
    else:
        with pytest.raises(BundleError, match="weight 'w'"):
            check(t, {"w.bin": bytes(size)})


@pytest.mark.parametrize("digits", ["", "+24", " 24", "24 ", "0x18", "२४", "24.0", "-24", "2" * 5000])
def test_numbers_are_plain_digits(digits: str) -> None:
    with pytest.raises(BundleError, match="weight 'w'"):
        check(external(location="w.bin", offset="0", length=digits), {"w.bin": bytes(99)})
    check(external(location="w.bin", length="24"), {"w.bin": bytes(99)})


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def nested(depth: int) -> bytes:
    """A model whose only node holds a graph whose only node holds ..."""
    content = b""
    for _ in range(depth):
        content = field(1, field(5, field(6, content)))
    return field(7, content)


BROKEN: dict[str, tuple[bytes, str]] = {
    "endless number": (b"\xff" * 30, "more than 64 bits"),
    "number of 70 bits": (b"\x08" + b"\xff" * 9 + b"\x7f", "more than 64 bits"),
    "cut number": (b"\x08\xff", "cut off"),
    "cut tag": (b"\x80", "cut off"),
    "longer than the file": (b"\x3a\xff\xff\xff\xff\x0f", "longer than what is left"),
    "length of 2 ** 63": (b"\x3a" + b"\xff" * 9 + b"\x01", "longer than what is left"),
    "longer than its parent": (field(7, b"\x0a\x09ab"), "longer than what is left"),
    "field 0": (b"\x02\x00", "unknown field 0"),
    "unknown field": (field(99, b"abc"), "unknown field 99"),
    "group": (b"\x3b\x3c", "wrong type"),
    "number for a graph": (b"\x38\x01", "wrong type"),
    "two graphs": (field(7, b"") * 2, "stands twice"),
    "two locations": (field(7, field(5, b"\x70\x00\x70\x01")), "stands twice"),
    "name that is not UTF-8": (field(7, field(5, field(8, b"\xff"))), "not UTF-8"),
    "name of a megabyte": (field(7, field(5, field(8, b"a" * (1 << 20)))), "a name of 1048576 bytes"),
    "cut packed floats": (field(7, field(5, field(4, b"12345"))), "within a number"),
    "cut packed numbers": (field(7, field(5, field(5, b"\x01\xff"))), "cut off"),
    "cut float": (field(7, field(5, b"\x25\x01")), "within a number"),
    "nested 40 graphs deep": (nested(40), "deeper than 64 levels"),
    "nested 5000 graphs deep": (nested(5000), "deeper than 64 levels"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_bytes_are_one_line(name: str) -> None:
    data, reason = BROKEN[name]
    with pytest.raises(BundleError, match=reason) as caught:
        read_onnx(data, "some file")
    message = str(caught.value)
    assert message.startswith("some file: ") and "\n" not in message and "export the bundle again" in message


def test_packed_and_single_numbers_are_the_same() -> None:
    packed = field(7, field(5, field(1, varint(300) + varint(2)) + field(7, varint(300) + varint(2))))
    single = field(7, field(5, b"\x08" + varint(300) + b"\x08\x02" + b"\x38" + varint(300) + b"\x38\x02"))
    for data in (packed, single):
        (t,) = read_onnx(data, "x").tensors()
        assert t.dims == (300, 2) and t.stored == {"int64_data": 2}


def test_too_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_FIELDS", 100)
    for bomb in (field(7, b"\x0a\x00" * 101), field(7, field(5, field(1, b"\x01" * 101)))):
        with pytest.raises(BundleError, match="more than 100 values"):
            read_onnx(bomb, "x")


def test_two_gigabytes_in_one_file_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_BYTES", 10)
    with pytest.raises(BundleError, match="2 GiB"):
        read_onnx(bytes(11), "x")


def test_large_weights_are_not_copied() -> None:
    data = holding(numpy_helper.from_array(np.zeros((64, 1 << 18), np.float32), "w")).SerializeToString()
    packed = holding(
        helper.make_tensor("w", TensorProto.INT64, [1 << 20], np.ones(1 << 20, np.int64))
    ).SerializeToString()
    assert len(data) > 1 << 26
    for model, limit in ((data, 1 << 18), (packed, 1 << 22)):
        tracemalloc.start()
        (t,) = read_onnx(model, "x").tensors()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < limit, t


def whole(data: bytes) -> OnnxFile | None:
    """Reads and checks; any error but a BundleError gets out."""
    try:
        file = read_onnx(data, "x")
        check_graph_file(Graph("role", SPEC, data, {"w.bin": bytes(24)}))
    except BundleError as error:
        assert "\n" not in str(error) and len(str(error)) < 700
        return None
    return file


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_a_bundle_error_or_fine(data: bytes) -> None:
    whole(data)


GOOD = holding(external(location="w.bin", offset="0", length="24")).SerializeToString()


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_what_survives_mutation_is_what_onnx_reads(data: st.DataObject) -> None:
    """Where the walker accepts altered bytes, the library reads the same tensors from them, or none at all."""
    at = data.draw(st.integers(0, len(GOOD)))
    junk = data.draw(st.binary(max_size=4))
    spoilt = GOOD[:at] + junk + GOOD[at + data.draw(st.integers(0, 6)) :]
    file = whole(spoilt)
    if file is None:
        return
    try:
        model = onnx.ModelProto.FromString(spoilt)
    except Exception:
        return
    assert sorted(map(key, file.tensors())) == sorted(key(as_ours(t)) for t in tensors_of(model))


def test_the_size_of_a_type_is_onnxs_own() -> None:
    for data_type in EASY:
        bits = helper.tensor_dtype_to_np_dtype(data_type).itemsize * 8
        assert tensor_rules.BITS[data_type] == bits or bits == 8 > tensor_rules.BITS[data_type]
