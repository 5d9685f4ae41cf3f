"""What a detector found in pictures, and the file that carries it from the detector's environment to the scorer's.

MediaPipe needs NumPy below 2 and torch is not in its environment, so that the two meet through this file alone.
Knows nothing about MediaPipe: any detector of 133 points may write one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.pose.topology import POINTS, Side

Score = Annotated[float, Field(ge=0, le=1)]
Index = Annotated[int, Field(ge=0, lt=POINTS)]
Pixels = Annotated[float, Field(ge=-1e6, le=1e6)]
PartName = Literal["left hand", "right hand", "face"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FoundPerson(_Model):
    """One person: 133 x (x, y, confidence) in the picture's pixels, confidence 0 = not found, and how sure it is."""

    score: Score
    points: Annotated[tuple[tuple[Pixels, Pixels, Score], ...], Field(min_length=POINTS, max_length=POINTS)]

    def array(self) -> NDArray[np.float64]:
        """[133, 2], NaN where not found."""
        points = np.array(self.points)
        return np.where(points[:, 2:] > 0, points[:, :2], np.nan)


class FoundHand(_Model):
    """A hand in the whole picture: how sure the detector is, and which hand it takes it for."""

    score: Score
    side: Side


class FoundPart(_Model):
    """A crop around a true hand or face: how sure the detector is that there is one, None where it finds none."""

    part: PartName
    score: Score | None


class Found(_Model):
    """All that was found in one picture; sizes in pixels."""

    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]
    people: tuple[FoundPerson, ...] = ()
    hands: tuple[FoundHand, ...] = ()
    parts: tuple[FoundPart, ...] = ()


class Detections(_Model):
    """Of many pictures.

    Attributes:
        detector: name and version, and the models' settings.
        points: the indices, of the 133, that this detector can find at all; no other true point is evaluated.
        pictures: by the key of the case.
    """

    format: Literal["handfirst-detections-1"] = "handfirst-detections-1"
    detector: str
    points: tuple[Index, ...]
    pictures: dict[str, Found]


def write_detections(path: Path, detections: Detections) -> None:
    """The file appears whole or not at all."""
    atomic_write_bytes(path, (detections.model_dump_json() + "\n").encode())


def read_detections(path: Path) -> Detections:
    """The inverse of `write_detections`.

    Raises:
        UserError: the file is missing, or is no such file.
    """
    try:
        return Detections.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); 'handfirst evaluate detect' writes such files"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise UserError(
            f"{path}: not a file of detections ({place}: {first['msg']}); make it with 'handfirst evaluate detect'"
        ) from error
