"""Pickles of PyTorch as data: tensors become descriptions, every other class a stub, and nothing is ever called.

A pickle can name any function and have it called. Here a dozen names stand for code of our own, every other one for
`Stub`, which takes whatever it is given and does nothing; so a training framework's checkpoint opens without the
framework. The reader is Python's own in Python: the one in C takes gigabytes for a file of a few bytes.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import IO, Any, ClassVar, NamedTuple

import torch

STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}
_HOSTILE_MODULES = {"os", "nt", "posix", "subprocess", "sys", "pty", "runpy", "importlib", "shutil", "socket", "ctypes"}
_HOSTILE_BUILTINS = {"eval", "exec", "execfile", "compile", "open", "__import__", "input", "breakpoint"}


class HostileError(Exception):
    """A pickle that names a function which no checkpoint needs, but an attack does."""


class Storage(NamedTuple):
    """Numbers that lie elsewhere in the file, under `key`."""

    key: str
    dtype: torch.dtype
    numbers: int


class Described(NamedTuple):
    """A tensor before its numbers are read; values as the file has them, unchecked."""

    storage: Storage
    offset: Any
    shape: Any
    stride: Any
    dtype: Any


class Stub:
    """Stands for any class or function that is not known, for its instances, and for what they return."""

    __slots__ = ()

    def __new__(cls, *_args: object, **_options: object) -> Stub:
        return object.__new__(cls)

    def __init__(self, *_args: object, **_options: object) -> None:
        pass

    def __call__(self, *_args: object, **_options: object) -> Stub:
        return self

    @staticmethod
    def __setstate__(*_state: object) -> None:
        """Called on the class, too, if a pickle says so."""

    @staticmethod
    def extend(*_items: object) -> None:
        """What a pickled list's items come through."""

    append = extend


class _Dict(dict[Any, Any]):
    """An OrderedDict, without the attributes that pickles set on it."""

    __slots__ = ()

    def __init__(self, *_args: object, **_options: object) -> None:
        super().__init__()

    @staticmethod
    def __setstate__(*_state: object) -> None:
        pass


class _Call:
    """A function of PyTorch's, as one of ours; no pickle can set anything on it."""

    __slots__ = ("_run",)
    _run: Callable[..., Any]

    def __init__(self, run: Callable[..., Any]) -> None:
        object.__setattr__(self, "_run", run)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)

    def __call__(self, *args: Any) -> Any:
        return self._run(*args)


class _StorageType(NamedTuple):
    dtype: torch.dtype


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_rest: Any) -> Any:
    return Described(storage, offset, shape, stride, storage.dtype) if isinstance(storage, Storage) else Stub()


def _tensor_of(storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> Any:
    """Tensors whose storage has no type of its own, float8 among them: grad, hooks, dtype follow."""
    described = _tensor(storage, offset, shape, stride)
    return described._replace(dtype=rest[2]) if isinstance(described, Described) else described


def _first(value: Any, *_rest: Any) -> Any:
    return value


_NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Dict,
    ("torch._utils", "_rebuild_tensor"): _Call(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Call(_tensor),
    ("torch._utils", "_rebuild_tensor_v3"): _Call(_tensor_of),
    ("torch._utils", "_rebuild_parameter"): _Call(_first),
    ("torch._utils", "_rebuild_parameter_with_state"): _Call(_first),
    ("torch.nn.parameter", "Parameter"): _Call(_first),
}


class InertUnpickler(pickle._Unpickler):
    """Reads one pickle from a stream.

    Attributes:
        storages: every storage that was named, by key, in the order of naming.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream, encoding="utf-8", errors="replace")
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """One of ours, or a stub.

        Raises:
            HostileError: a function that only an attack names.
        """
        hostile = module.split(".")[0] in _HOSTILE_MODULES
        if hostile or (module in ("builtins", "__builtin__") and name in _HOSTILE_BUILTINS):
            raise HostileError(f"{module}.{name}")
        if module in ("torch", "torch.storage", "torch.cuda") and name in STORAGES:
            return _StorageType(STORAGES[name])
        if module == "torch" and isinstance(dtype := getattr(torch, name, None), torch.dtype):
            return dtype
        return _NAMES.get((module, name), Stub)

    def persistent_load(self, pid: Any) -> Any:
        """("storage", type, key, device, count) -> Storage; in files before torch 1.6 a view may follow, and classes.

        Raises:
            ValueError: anything else.
        """
        if isinstance(pid, tuple) and len(pid) >= 2 and pid[0] == "module":
            return pid[1]
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[1], _StorageType):
            raise ValueError("a storage that is none")
        if any(view is not None for view in pid[5:]):
            raise ValueError("a storage that is a view of another, as before torch 0.4")
        found = Storage(str(pid[2]), pid[1].dtype, int(pid[4]))
        return self.storages.setdefault(found.key, found)

    def _set_items(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        _fill(self.stack[-1], items)  # type: ignore[attr-defined]

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()  # type: ignore[attr-defined]
        _fill(self.stack[-1], [key, value])  # type: ignore[attr-defined]

    def _dict(self) -> None:
        items, made = self.pop_mark(), _Dict()  # type: ignore[attr-defined]
        _fill(made, items)
        self.append(made)  # type: ignore[attr-defined]

    def _set(self) -> None:
        self.append(Stub())  # type: ignore[attr-defined]

    def _add_items(self) -> None:
        self.pop_mark()  # type: ignore[attr-defined]

    def _frozen_set(self) -> None:
        self.pop_mark()  # type: ignore[attr-defined]
        self.append(Stub())  # type: ignore[attr-defined]


def _fill(target: Any, items: list[Any]) -> None:
    """Keys of other kinds are left out: the hash of a deeply nested tuple overflows the stack of the process."""
    if isinstance(target, dict):
        pairs = zip(items[::2], items[1::2], strict=True)
        target.update((key, value) for key, value in pairs if isinstance(key, str | int))


for _code, _method in (
    (pickle.SETITEMS, InertUnpickler._set_items),
    (pickle.SETITEM, InertUnpickler._set_item),
    (pickle.DICT, InertUnpickler._dict),
    (pickle.EMPTY_SET, InertUnpickler._set),
    (pickle.ADDITEMS, InertUnpickler._add_items),
    (pickle.FROZENSET, InertUnpickler._frozen_set),
):
    InertUnpickler.dispatch[_code[0]] = _method
