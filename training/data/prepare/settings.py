"""What a prepared data set is: everything that decides its bytes, but for the pictures themselves.

Knows nothing about how many processes make it, nor on which machines.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from handfirst.runtime.diffusion.settings import Settings
from handfirst.runtime.systems.two_stage.settings import HandSettings
from handfirst.training.data.buckets import Size

Stage = Literal["hand", "body"]
REFERENCE = 512
"""The side at which the paper counts its 2,500 hand pixels and dilates its masks."""


class Origin(Settings):
    """A source to draw from."""

    kind: str = Field(min_length=1)
    """What the reader is called ("hagrid", "interhand", ...)."""
    path: str = Field(min_length=1)
    count: int | None = Field(None, ge=1)
    """Training pictures to draw from it at random; None: all of them. The counts are the mixing weights."""
    masks: str | None = None
    """For Re:InterHand, NAME:LEFT:RIGHT: the folder of its masks and the grey values of the hands."""


class CaptionTable(Settings):
    """A file of captions by sequence (table.py)."""

    path: str = Field(min_length=1)
    sha256: str = Field(min_length=64, max_length=64)
    """Of its text: what it says decides the captions."""


class PrepareSettings(Settings):
    """One data set for one stage. The defaults are the paper's, or where it is silent those of the runtime."""

    stage: Stage
    origins: tuple[Origin, ...] = Field(min_length=1)
    size: int = Field(512, ge=32, le=2048)
    """Side of the examples in pixels."""
    margin: float = Field(HandSettings().margin, ge=1, le=10)
    """Side of a hand's crop over the longer side of its key points' box, as the runtime crops."""
    body_margin: float = Field(1.25, ge=1, le=10)
    """What a body's example shows over the box of the person, where the picture is large enough."""
    buckets: tuple[Size, ...] = ()
    """Widths and heights that a body's example may have, each for people of that shape; none: `size` alone."""
    hands: Literal["one", "all"] = "one"
    """Of two hands with a crop each: one at random (the paper), or both."""
    smallest_mask: int = Field(2500, ge=0)
    """Fewest hand pixels of an example, counted as if it were 512 pixels a side."""
    outside: float = Field(0.25, ge=0, le=1)
    """Largest share of a crop that may lie outside its picture; there the picture's edge is repeated."""
    key_points: Literal["given", "mediapipe", "mediapipe-hagrid"] = "given"
    """Where a picture comes without a hand's key points: leave it out, or look for them; "mediapipe-hagrid" looks for
    them in all pictures of HaGRID, too, as the paper did: its own were found by MediaPipe Hands, one by one."""
    without_masks: bool = False
    """Whether pictures without hand masks are taken all the same, as if nothing in them were a hand: for systems that
    learn from key points alone."""
    sam: str | None = None
    """Folder of a SAM checkpoint for pictures without hand masks; None: leave them out."""
    captioner: str | None = None
    """Folder of a BLIP or LLaVA checkpoint for pictures without caption."""
    table: CaptionTable | None = None
    """What people wrote about the hands of whole sequences, for pictures without caption; a captioner is not asked."""
    captions: Literal["given", "model"] = "given"
    """Whether the captioner leaves the source's own captions, or writes anew (the paper, for LAION's)."""
    val: int = Field(1000, ge=0)
    """Pictures of each source to validate with: of its validation split, or else held out of its training split."""
    seed: int = Field(0, ge=0)
    shard: int = Field(1000, ge=1, le=100_000)
    """Pictures that a shard is made from; it holds fewer examples where some are rejected."""

    @property
    def body_sizes(self) -> tuple[Size, ...]:
        """Of a body's examples."""
        return self.buckets or ((self.size, self.size),)

    @property
    def hand(self) -> HandSettings:
        """The runtime's crop of a hand at the examples' size."""
        return HandSettings(size=self.size, margin=self.margin)
