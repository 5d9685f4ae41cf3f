"""The first stage of a gesture: its mean feature into a model folder, whatever the system (Hand1000, section 3.1).

Knows nothing about networks; nothing is optimised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from handfirst.training.data.example import Example
from handfirst.training.gestures.feature import mean_feature
from handfirst.training.gestures.folder import save_feature, with_gesture
from handfirst.training.gestures.options import FeatureOptions
from handfirst.training.models.folder import next_folder


class GesturedFolder(Protocol):
    """A trained model on disk whose settings name its gestures."""

    folder: Path
    settings: Any
    training: dict[str, Any]


@dataclass(frozen=True)
class FeatureMaker:
    """See Counting.

    Attributes:
        source: the model.
        save_words: writes (settings, training) into a folder, as the model's system does.
    """

    source: GesturedFolder
    options: FeatureOptions
    save_words: Callable[[Any, dict[str, Any], Path], None]

    def count(self, examples: Iterable[Example], out: Path) -> None:
        """The folder with the gesture's mean feature; what was learnt of the gesture before goes.

        Raises:
            UserError: an example of another gesture, no hand in any, or one gesture too many.
        """
        source, options, name = self.source, self.options, self.options.gesture
        settings = with_gesture(source.settings, source.settings.gestures, options)
        feature, pictures = mean_feature(examples, options)
        told = {f"{name} feature": {"pictures": pictures, "options": options.model_dump(mode="json")}}
        with next_folder(out, source.folder) as folder:
            save_feature(folder, name, feature)
            self.save_words(settings, {**source.training, **told}, folder)
