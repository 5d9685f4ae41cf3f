"""Pickles without Python's own machine for them: the steps that plain data and NumPy's arrays need, and no others.

Every step takes time and memory of its own size in the file, but for the few bytes of a list, a dict or a stand-in; no
value is ever copied, so that the whole is bounded by MOST_STEPS. What a pickle would call becomes a Stand that only
remembers what it was given. Knows nothing about what the names mean.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from handfirst.training.data.sources.entry import UnusableError

MOST_STEPS = 100_000
"""A person takes about 20."""

_VALUES = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "FLOAT", "BINFLOAT",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
}  # fmt: skip
_EMPTY: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = frozenset({"PROTO", "FRAME"})


@dataclass(eq=False)
class Stand:
    """What a name of the pickle would be (`given` is None), or would make of what it is given.

    Attributes:
        kind: what the caller calls the name.
        given: the arguments.
        state: what it is told to set afterwards.
    """

    kind: str
    given: tuple[Any, ...] | None = None
    state: tuple[Any, ...] = ()


class _Mark:
    pass


_MARK = _Mark()


def run(data: bytes, named: Callable[[str, str], str]) -> Any:
    """What the pickle makes.

    Args:
        data: exactly one pickle; what follows it is left alone.
        named: (module, name) -> the kind of a Stand; raises for what is not allowed.

    Raises:
        UnusableError: a step that plain data does not need, or too many of them.
        Exception: any other, where it is damaged.
    """
    machine = _Machine(named)
    for count, (step, argument, _) in enumerate(pickletools.genops(data)):
        if count >= MOST_STEPS:
            raise UnusableError("pose file: more steps than a pose takes")
        if step.name == "STOP":
            return machine.stack[-1]
        machine.step(step.name, argument)
    raise ValueError("no end")


class _Machine:
    def __init__(self, named: Callable[[str, str], str]) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._named = named

    def step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self.stack.append(tuple(self._take(_TUPLES[name])))
        elif name not in _NOTHING:
            handler = getattr(self, f"_{name.lower()}", None)
            if handler is None:
                raise UnusableError("pose file: a pickle of other things than plain data")
            handler(argument)

    def _take(self, count: int) -> list[Any]:
        """The last values, in order."""
        taken = self.stack[-count:] if count else []
        if len(taken) != count or any(value is _MARK for value in taken):
            raise ValueError("the stack is too short")
        del self.stack[len(self.stack) - count :]
        return taken

    def _marked(self) -> list[Any]:
        """Everything above the last mark, which goes as well."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("no mark")
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def _mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._marked()))

    def _list(self, _: Any) -> None:
        self.stack.append(self._marked())

    def _dict(self, _: Any) -> None:
        values = self._marked()
        self.stack.append({})
        self._set(values)

    def _append(self, _: Any) -> None:
        self._extend(self._take(1))

    def _appends(self, _: Any) -> None:
        self._extend(self._marked())

    def _extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("no list")
        self.stack[-1].extend(values)

    def _setitem(self, _: Any) -> None:
        self._set(self._take(2))

    def _setitems(self, _: Any) -> None:
        self._set(self._marked())

    def _set(self, values: list[Any]) -> None:
        keys = values[::2]
        # nothing else is a key: a tuple of tuples of tuples ends the process when Python hashes it
        if not isinstance(self.stack[-1], dict) or len(values) % 2 or not all(isinstance(k, str | int) for k in keys):
            raise ValueError("no dict of plain keys")
        self.stack[-1].update(zip(keys, values[1::2], strict=True))

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def _put(self, place: int) -> None:
        self._memo[place] = self.stack[-1]

    def _get(self, place: int) -> None:
        self.stack.append(self._memo[place])

    _binput = _long_binput = _put
    _binget = _long_binget = _get

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(Stand(self._named(module, name)))

    def _stack_global(self, _: Any) -> None:
        module, name = self._take(2)
        self.stack.append(Stand(self._named(str(module), str(name))))

    def _reduce(self, _: Any) -> None:
        made, given = self._take(2)
        if not isinstance(made, Stand) or made.given is not None or not isinstance(given, tuple):
            raise ValueError("nothing that makes something")
        self.stack.append(Stand(made.kind, given))

    _newobj = _reduce

    def _build(self, _: Any) -> None:
        (state,) = self._take(1)
        made = self.stack[-1]
        if not isinstance(made, Stand) or made.given is None or not isinstance(state, tuple):
            raise ValueError("nothing that has a state")
        made.state = state
