"""One graph whose bytes were checked: what every backend is given to open.

Knows nothing about where the bytes lie or which library runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from handfirst.engines.private import Bytes, Folder
from handfirst.engines.spec import EngineSpec

Precision = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True, eq=False)
class Graph:
    """An ONNX graph in memory.

    Attributes:
        role: the part it plays, for messages.
        spec: what it must take and give.
        model: the bytes of the ONNX file.
        data: the bytes of the files that its external tensors lie in, by the location that the graph names; empty
            where all weights are inside `model`.
        precision: the arithmetic that it asks for.
        digest: SHA-256 over the digests of all its files: equal digests are equal graphs.
        source: where it came from, for messages.
        folder: where the files of `data` lie as well, for libraries that read them by path; None: in memory alone.
    """

    role: str
    spec: EngineSpec
    model: bytes
    data: Mapping[str, Bytes] = field(default_factory=dict)
    precision: Precision = "float32"
    digest: str = ""
    source: str = ""
    folder: Folder | None = None

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return len(self.model) + sum(map(len, self.data.values()))
