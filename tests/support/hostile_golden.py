"""Golden tensors made to harm: what takes their place, and the words that refuse it."""

from __future__ import annotations

import pickle

import numpy as np
from support.hostile_bundle import (
    WEIGHTS,
    Evil,
    Spoil,
    broken_packing,
    claims_to_unpack,
    content,
    locked,
    member,
    npy,
    pickled,
)

GOLDEN: dict[str, tuple[Spoil, str]] = {
    "pickle": (content("golden.npz", lambda: pickle.dumps(Evil())), "not an .npz"),
    "a single array": (content("golden.npz", pickled), "not an .npz"),
    "a single array of numbers": (content("golden.npz", lambda: npy(WEIGHTS)), "not an .npz"),
    "broken packing": (content("golden.npz", broken_packing), "not an .npz"),
    "locked with a password": (content("golden.npz", locked), "not an .npz"),
    "pickled member": (content("golden.npz", lambda: member("conv.out.y.npy", pickled())), "conv.out.y.npy expected"),
    "not a zip": (content("golden.npz", b"PK\x03\x04" + bytes(99)), "not an .npz"),
    "member of another name": (content("golden.npz", lambda: member("a.npy", WEIGHTS)), "'a.npy'"),
    "path": (content("golden.npz", lambda: member("../../conv.out.y.npy", WEIGHTS)), "'../../conv.out.y.npy'"),
    "twice": (content("golden.npz", lambda: member("conv.in.x.npy", WEIGHTS)), "a tensor twice"),
    "no array": (content("golden.npz", lambda: member("conv.out.y.npy", b"hello")), "not an .npz"),
    "terabytes in a header": (
        content("golden.npz", lambda: member("conv.out.y.npy", WEIGHTS, (1 << 40, 12))),
        "conv.out.y.npy expected ['n', 12] as in the graph's spec, got float32 [1099511627776, 12]",
    ),
    "more than the header says": (
        content("golden.npz", lambda: member("conv.out.y.npy", np.zeros((9, 12), np.float32), (1, 12))),
        "not an .npz",
    ),
    "terabytes in the zip's folder": (content("golden.npz", lambda: claims_to_unpack(0xFFFFFFF0)), "would unpack to"),
    "other size": (content("golden.npz", lambda: member("conv.out.y.npy", np.zeros((1, 13)))), "got float64 [1, 13]"),
    "negative shape": (content("golden.npz", lambda: member("conv.out.y.npy", WEIGHTS, (-1, 12))), "golden.npz"),
    "texts": (content("golden.npz", lambda: member("conv.out.y.npy", np.full((1, 12), "a"))), "got str"),
}
