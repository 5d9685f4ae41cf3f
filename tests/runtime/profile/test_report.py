"""The report as a browser would take it: well-formed, whole, with every part, and nothing to fetch."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from support.spans import job

from handfirst.engines.choice import Choice
from handfirst.runtime.profile.figures import BETWEEN, figures
from handfirst.runtime.profile.measure import Batch
from handfirst.runtime.profile.peak import Peak
from handfirst.runtime.profile.profile import Profile
from handfirst.runtime.profile.report import MOST_JOBS, Piece, Row, bars, html_report
from handfirst.runtime.profile.table import HEADS, number, remarks, rows, table

VOID = {"meta", "link", "br", "img"}


def profile(name="demo", batches=True):
    steady = (job(100, 20), job(200, 24))
    curve_of = (Batch(1, 0.02, 5_000_000), Batch(2, 0.03, 6_000_000), Batch(4, None, refused="the GPU <is> full"))
    return Profile(
        bundle=(name, "0123456789abcdef"),
        engine=Choice("cpu", "asked for"),
        asked={"people": 1, "steps": 2, "guidance": 2.0, "hand_guidance": 1.5},
        machine={"cpu": "Processor & Sons", "cores": 2, "gpu": None, "driver": None, "load": 1.5},
        cold=(job(0, 40),),
        steady=steady,
        parts=tuple(figures(job(0, 40), steady, lambda role, shapes: 10_000, 4e9)),
        uncounted={"mask_head": "they fled", "body_unet": "they fled", "vae": "it hid"},
        peak=Peak(4e9, "4 products of 8 x 8"),
        memory={"process_peak_bytes": 123_000_000, "gpu_bytes": None},
        batches=curve_of if batches else (),
        recorder_share=0.0004,
    )


class Page(HTMLParser):
    """Checks that tags close in order; keeps words and what would be fetched."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.fetched = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.fetched += [
            (tag, key) for key, value in attributes if key in ("src", "href") and not value.startswith("#")
        ]
        self.fetched += [(tag, "tag") for _ in range(tag in ("script", "link", "img", "iframe"))]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_data(self, data):
        self.words.append(data)


def test_the_report_is_whole_and_alone():
    text = html_report(profile())
    page = Page(text)
    assert page.fetched == []
    assert "url(" not in text and "@import" not in text
    words = " ".join(page.words)
    for wanted in ("demo 0123456789ab on cpu", "body: net", "body: DDIM + blend", "decode: host between", BETWEEN,
                   "123 MB", "peak, 4.00 GFLOP/s: 4 products of 8 x 8", "Processor & Sons", "cold 1", "1 at once",
                   "66.7 images/s, 6.00 MB of memory", "did not run: the GPU <is> full", "they fled"):  # fmt: skip
        assert wanted in words, wanted
    assert words.count("body: net") == 3  # shares, first calls, operations


def test_without_batches_their_section_is_left_out():
    assert "Throughput" not in html_report(profile(batches=False))


def test_names_cannot_break_the_page():
    text = html_report(profile(name="<script>alert('x')</script>\"&"))
    assert Page(text).fetched == []


def widths(drawn):
    """Of every piece, bar by bar, in hundredths of the scale."""
    return [
        [float(re.search(r"width:([\d.]+)%", piece.get("style"))[1]) for piece in bar.iter("i")]
        for bar in ElementTree.fromstring(drawn).iter("div")
    ]


def test_bars_are_as_long_as_their_values():
    drawn = bars([Row("a", ((Piece(10.0, "red"),),), ""), Row("b", ((Piece(4.0, "red"), Piece(1.0, "blue")),), "4, 1")])
    assert widths(drawn) == [[100], [40, 10]]
    assert "".join(ElementTree.fromstring(drawn).itertext()) == "ab4, 1"


def test_bars_of_a_row_lie_below_each_other_on_one_scale_with_a_mark():
    drawn = bars([Row("a", ((Piece(1.0, "red"),), (Piece(3.0, "blue"),)), "")], mark=4.0)
    assert widths(drawn) == [[25], [75]]
    (mark,) = ElementTree.fromstring(drawn).iter("b")
    assert mark.get("style") == "left:100.00%"


def test_bars_without_length_are_drawn():
    assert widths(bars([Row("a", ((Piece(0.0, "red"),),), ""), Row("b", ((Piece(-1e-9, "red"),),), "")])) == [[0], [0]]


def test_a_job_is_cut_by_stages():
    """body 0-6 and 7-11, decode 11-17 (support/spans.py), and what is left of 40, 20 and 24 ms."""
    notes = re.findall(r'title="([^"]*)"', html_report(profile()))
    assert notes == [
        note
        for rest in ("24.0", "4.00", "8.00")
        for note in ("body: 10.0 ms", "decode: 6.00 ms", f"between stages: {rest} ms")
    ]


def test_neighbours_share_a_row_where_jobs_are_many():
    """81 jobs in rows of three; jobs 79 to 81 took 30, 30 and 60 ms."""
    steady = (*(job(20 * i, 20) for i in range(78)), job(9000, 30), job(9100, 30), job(9200, 60))
    words = [word.strip() for word in Page(html_report(replace(profile(), steady=steady))).words]
    assert words[words.index("79 to 81") + 1] == "40.0 ms"
    assert sum(re.fullmatch(r"\d+ to \d+", word) is not None for word in words) == 81 // 3 <= MOST_JOBS


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (0.01234, "0.0123"), (1.234, "1.23"), (123.4, "123"), (12345, "12,345"), (2e-7, "2.0e-07")],
)  # fmt: skip
def test_numbers_have_three_digits(value, words):
    assert number(value) == words


def test_the_table_names_a_stage_once():
    made = rows(profile().parts)
    assert {len(row) for row in made} == {len(HEADS)}
    assert [row[:2] for row in made] == [
        ("body", "net"), ("", "DDIM + blend"), ("", "host between"), ("decode", "host between"), ("", BETWEEN),
    ]  # fmt: skip
    assert made[0][2:6] == ("2", "2.50", "3.00", "5.00")


def test_columns_without_figures_are_left_out():
    heads, *lines = table(profile().parts)
    assert "GPU ms" not in heads and "GFLOP/s" in heads
    assert {len(line) for line in lines} == {len(heads)} == {len(HEADS) - 1}
    timed = [replace(part, device_ms=1.5) for part in profile().parts]
    assert [row[table(timed)[0].index("GPU ms")] for row in table(timed)[1:]] == ["1.50"] * len(lines)


def test_small_parts_are_one_bar_together():
    whole = profile()
    tiny = [replace(part, share=0.001, job_ms=0.02) for part in whole.parts[1:]]
    words = " ".join(Page(html_report(replace(whole, parts=(whole.parts[0], *tiny)))).words)
    assert "4 more, see below" in words and "0.0800 ms, 0.4 %" in words


def test_remarks_say_what_adds_up():
    said = "\n".join(remarks(profile()))
    covered = 1 - (4 + 8) / 44
    assert f"{100 * covered:.1f} % of the wall time" in said
    assert "recording took 0.04 % of it" in said
    assert "1: 50.0, 2: 66.7, 4: refused" in said
    assert "process peak 123 MB" in said and "gpu" not in said
    assert "load 1.5 on 2 cores" in said
    assert "operations are not counted for mask head, body unet: they fled" in said
    assert "operations are not counted for vae: it hid" in said
    idle = replace(profile(), machine=profile().machine | {"load": 0.4})
    assert not any("load" in line for line in remarks(idle))
