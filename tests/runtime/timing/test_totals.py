"""Parts of spans: sums by hand, and sums that must be exact whatever nests in whatever."""

from hypothesis import given
from hypothesis import strategies as st
from support.arithmetic_model import model, person, request
from support.spans import MS, span, spans

from handfirst.runtime.timing.spans import Recording, Span, recording
from handfirst.runtime.timing.totals import HOST, NO_STAGE, parts


def found(listed):
    return {(part.stage, part.name): [own / MS for own in part.own] for part in parts(listed)}


def test_own_times_by_hand():
    assert found(spans()) == {
        ("body", "net"): [2, 3],
        ("body", "step"): [1, 0.5],
        ("body", HOST): [3, 0.5],
        ("decode", HOST): [6],
    }
    assert list(found(spans())) == [("body", "net"), ("body", "step"), ("body", HOST), ("decode", HOST)]


def test_a_part_describes_itself():
    net = parts(spans())[0]
    assert net.describe() == {"stage": "body", "part": "net", "calls": 2, "seconds": 0.005, "bytes": 200}


def test_the_order_of_recording_does_not_matter():
    assert found(spans()[::-1]) == found(spans())


def test_work_inside_of_work_counts_once():
    listed = [span("net", "engine", 2, 5), span("outer", "host", 1, 6), span("s", "stage", 0, 8)]
    assert found(listed) == {("s", "net"): [3], ("s", "outer"): [2], ("s", HOST): [3]}


def test_what_is_outside_of_stages_has_none():
    assert found([span("net", "engine", 2, 5)]) == {(NO_STAGE, "net"): [3]}


def test_threads_do_not_nest_in_each_other():
    listed = [span("s", "stage", 0, 10), span("net", "engine", 2, 5, thread=8)]
    assert found(listed) == {("s", HOST): [10], (NO_STAGE, "net"): [3]}


@st.composite
def nested(draw, start=0, end=1000, depth=0):
    """Spans side by side in [start, end], each with others inside, in the order in which they end."""
    cuts = sorted(draw(st.lists(st.integers(start, end), max_size=6)))
    listed = []
    for a, b in zip(cuts[::2], cuts[1::2], strict=False):
        if depth < 3:
            listed += draw(nested(a, b, depth + 1))
        kind = draw(st.sampled_from(["stage", "engine", "host"]))
        listed.append(Span(draw(st.sampled_from("abc")), kind, a, b, 1))
    return listed


@given(nested())
def test_parts_add_up_to_the_time_that_any_span_covers(listed):
    covered = sum(any(each.start <= tick < each.end for each in listed) for tick in range(1000))
    made = parts(listed)
    assert sum(sum(part.own) for part in made) == covered
    assert sum(len(part.own) for part in made) == len(listed)
    assert all(own >= 0 for part in made for own in part.own)


def test_the_parts_of_a_picture_add_up_to_its_stages():
    system, _ = model()
    with recording(Recording()) as heard:
        result = system.render(request(person(), steps=4))
    made = parts(heard.spans)
    assert {part.name for part in made if part.stage == "body"} == {
        "vae_encoder", "hint_encoder", "controlnet", "body_unet", "mask_table", "hint_drawing", "step", HOST,
    }  # fmt: skip
    for stage, seconds in result.seconds.items():
        mine = [part for part in made if stage in (part.stage, "total")]
        assert abs(sum(part.seconds for part in mine) - seconds) < 1e-9
