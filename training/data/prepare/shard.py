"""One shard, from its slice of the plan to its tar: the piece of work that processes and machines are given.

Pure but for the files that it writes: the same plan and index give the same bytes anywhere. Knows nothing about who
runs it.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from handfirst.engines.files import atomic_path
from handfirst.training.data.example import Example, encode
from handfirst.training.data.labels.model import Question
from handfirst.training.data.prepare.asking import TOGETHER, Answers, all_said, open_questions, store_of
from handfirst.training.data.prepare.examples import Rejected, examples
from handfirst.training.data.prepare.plan import Plan, Shard, Slice
from handfirst.training.data.shards import new_shard

SIZES = (0, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
"""Lower ends of the classes of hand sizes, in pixels."""
KINDS = ("gesture", "view", "side", "hand_px", "caption", "mask")


def size_class(pixels: float) -> str:
    """For example "96-127"."""
    i = max(k for k, low in enumerate(SIZES) if pixels >= low)
    return f"{SIZES[i]}-{SIZES[i + 1] - 1}" if i + 1 < len(SIZES) else f"{SIZES[i]}-"


@dataclass
class Tally:
    """What became of the pictures of one source.

    Attributes:
        pictures: how many were read.
        examples: how many examples they gave.
        skipped: pictures and crops that gave none, by reason.
        kinds: for each of KINDS, how many examples (or hands) of which.
    """

    pictures: int = 0
    examples: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})

    def add(self, other: Tally) -> None:
        """Adds another's counts to these."""
        self.pictures += other.pictures
        self.examples += other.examples
        self.skipped.update(other.skipped)
        for kind in KINDS:
            self.kinds[kind].update(other.kinds[kind])

    def to_json(self) -> dict[str, Any]:
        """Plain counts, most frequent first, hand sizes in order."""
        kinds = {kind: _ordered(kind, counts) for kind, counts in self.kinds.items()}
        skipped = dict(sorted(self.skipped.items(), key=lambda item: (-item[1], item[0])))
        return {"pictures": self.pictures, "examples": self.examples, "skipped": skipped, **kinds}


def from_json(data: dict[str, Any]) -> Tally:
    """The inverse of `Tally.to_json`."""
    kinds = {kind: Counter(data[kind]) for kind in KINDS}
    return Tally(data["pictures"], data["examples"], Counter(data["skipped"]), kinds)


def total(tallies: Iterable[dict[str, Tally]]) -> dict[str, Tally]:
    """Sums by source, in order of their names."""
    out: dict[str, Tally] = {}
    for tally in tallies:
        for source, one in tally.items():
            out.setdefault(source, Tally()).add(one)
    return dict(sorted(out.items()))


def _ordered(kind: str, counts: Counter[str]) -> dict[str, int]:
    if kind == "hand_px":
        return dict(sorted(counts.items(), key=lambda item: int(item[0].partition("-")[0])))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def shard_done(plan: Plan, shard: Shard) -> bool:
    """Whether a shard is complete: its note is written after its tar, and knows the tar's length."""
    try:
        wanted = json.loads(plan.note(shard).read_text(encoding="utf-8"))["bytes"]
        return bool((plan.tar(shard).stat().st_size if wanted else 0) == wanted)
    except (OSError, ValueError, KeyError):
        return False


def make_shard(plan: Plan, shard: Shard) -> None:
    """Writes a shard's examples (no tar if there are none), then the note beside it.

    Raises:
        UserError: a mask or a caption has not been made.
    """
    answers = Answers(plan.settings, store_of(plan.out))
    helpers = answers.helpers()
    tallies: dict[str, Tally] = defaultdict(Tally)
    rejected: list[dict[str, str]] = []
    tar = plan.tar(shard)
    tar.parent.mkdir(parents=True, exist_ok=True)
    with new_shard(tar) as out:
        for record in plan.records(plan.slice(shard)):
            tally = tallies[record.source]
            tally.pictures += 1
            for made in examples(record, plan.settings, helpers):
                all_said(answers)
                if isinstance(made, Rejected):
                    tally.skipped[made.reason] += 1
                    rejected.append({"source": record.source, "key": record.key, "reason": made.reason})
                else:
                    out.write(made.key, encode(made))
                    _count(tally, made)
    if not out.count:
        tar.unlink()
    note = {
        "bytes": tar.stat().st_size if out.count else 0,
        "sources": {source: tally.to_json() for source, tally in sorted(tallies.items())},
        "rejected": rejected,
    }
    with atomic_path(plan.note(shard)) as temporary:
        temporary.write_text(json.dumps(note, indent=1, ensure_ascii=False), encoding="utf-8")


def slices(plan: Plan, shards: Sequence[Shard]) -> list[Slice]:
    """The shards' pictures in the pieces that a process gathers at once."""
    wholes = [plan.slice(shard) for shard in shards]
    return [
        Slice(whole.part, i, min(i + TOGETHER, whole.stop))
        for whole in wholes
        for i in range(whole.start, whole.stop, TOGETHER)
    ]


def uncaptioned(plan: Plan, some: Slice) -> list[Question]:
    """What the captioner has not been asked yet about a slice."""
    return open_questions("caption", plan.records(some), plan.settings, store_of(plan.out))


def read_tally(plan: Plan, shard: Shard) -> dict[str, Tally]:
    """The counts of a finished shard, by source."""
    note: dict[str, Any] = json.loads(plan.note(shard).read_text(encoding="utf-8"))
    return {source: from_json(counts) for source, counts in note["sources"].items()}


def _count(tally: Tally, example: Example) -> None:
    facts = example.attributes
    tally.examples += 1
    tally.kinds["gesture"][facts.get("gesture", "unknown")] += 1
    tally.kinds["side"][facts["side"]] += 1
    tally.kinds["view"].update(facts["view"].split(" and "))
    tally.kinds["hand_px"].update(size_class(float(v)) for v in facts["hand_px"].split(" and "))
    tally.kinds["caption"][facts["caption_from"]] += 1
    tally.kinds["mask"][facts["mask_from"]] += 1
