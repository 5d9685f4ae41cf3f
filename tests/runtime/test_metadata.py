"""What pictures say of themselves, read by Pillow and an XML parser, and what others may have put there."""

import io
import json
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.fake_system import RENDER, paint, refused

from handfirst.engines.errors import UserError
from handfirst.runtime.cli.main import main
from handfirst.runtime.metadata import packet, read
from handfirst.runtime.pictures import encode
from handfirst.runtime.systems.two_stage.job import example

IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
DIGEST = "0123456789ab" + 52 * "f"
BUNDLE = SimpleNamespace(manifest=SimpleNamespace(name="pretend"), digest=DIGEST)
OURS = '{"bundle": {"digest": "d"}, "request": {"seed": 3}}'


def xmp_of(data: bytes) -> bytes:
    """As Pillow finds it."""
    with Image.open(io.BytesIO(data)) as picture:
        found = picture.text["XML:com.adobe.xmp"] if picture.format == "PNG" else picture.info["xmp"]
    return found.encode() if isinstance(found, str) else found


def properties(data: bytes) -> dict[str, str]:
    (about,) = ElementTree.fromstring(xmp_of(data)).iter(f"{RDF}Description")
    return {each.tag: each.text for each in about}


def xmp(inside: str = "", before: str = "", attribute: str = "") -> bytes:
    spaces = f'xmlns:h="urn:handfirst:picture" xmlns:r="{RDF[1:-1]}"'
    return f"{before}<r:RDF {spaces}><r:Description {attribute}>{inside}</r:Description></r:RDF>".encode()


def written(folder, about: bytes):
    path = folder / "p.png"
    path.write_bytes(encode(np.zeros((2, 3, 3), np.uint8), "png", about))
    return path


@pytest.fixture(scope="module")
def result():
    return paint(example(seed=7, negative_prompt="<blurry> & 'dark'", steps=5, guidance=2.5))


@pytest.mark.parametrize("kind", ["png", "webp"])
class TestFiles:
    def test_the_standard_names_say_that_a_model_made_it(self, result, kind):
        said = properties(encode(result.image, kind, packet(BUNDLE, result)))
        assert said[f"{IPTC}DigitalSourceType"] == (
            "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
        )
        assert said[f"{IPTC}AISystemUsed"].startswith("handfirst ")
        assert said[f"{IPTC}AISystemVersionUsed"] == f"pretend {DIGEST}"
        assert said[f"{IPTC}AIPromptInformation"] == result.request.prompt

    def test_the_request_comes_back(self, result, kind, tmp_path):
        path = tmp_path / "a"
        path.write_bytes(encode(result.image, kind, packet(BUNDLE, result)))
        told = read(path)
        assert told["bundle"] == {"name": "pretend", "digest": DIGEST}
        assert told["request"] == {
            "prompt": result.request.prompt, "negative_prompt": "<blurry> & 'dark'",
            "hand_prompt": result.request.prompt, "seed": 7, "steps": 5, "hand_steps": 5, "guidance": 2.5,
            "solver": "ddim", "hand_solver": "ddim", "speed": "exact",
            "hand_guidance": result.request.hand_guidance, "eta": result.request.eta, "blend": "expansion",
            "feather": 0.0, "close_up": "off", "armless": "leave", "width": 64, "height": 96,
        }  # fmt: skip

    def test_pixels_are_what_they_were(self, result, kind):
        noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
        with Image.open(io.BytesIO(encode(noise, kind, packet(BUNDLE, result)))) as picture:
            np.testing.assert_array_equal(np.asarray(picture), noise)

    def test_equal_requests_give_equal_bytes(self, result, kind):
        again = paint(example(seed=7, negative_prompt="<blurry> & 'dark'", steps=5, guidance=2.5))
        assert encode(result.image, kind, packet(BUNDLE, result)) == encode(again.image, kind, packet(BUNDLE, again))

    def test_nothing_is_said_unasked(self, result, kind):
        with Image.open(io.BytesIO(encode(result.image, kind))) as picture:
            assert not picture.info.get("xmp")
            assert not getattr(picture, "text", {})


@settings(max_examples=60, deadline=None)
@given(prompt=st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1).filter(str.strip))
def test_every_prompt_comes_back(prompt, tmp_path_factory):
    """U+FFFE and U+FFFF too, which XML cannot hold."""
    made = paint(example(prompt=prompt + "\t\r\n\ufffe]]>"))
    path = written(tmp_path_factory.mktemp("p"), packet(BUNDLE, made))
    assert read(path)["request"]["prompt"] == prompt + "\t\r\n\ufffe]]>"


@pytest.mark.parametrize(
    "about", [xmp(f"<h:made>{OURS}</h:made>"), xmp(attribute=f"h:made='{OURS}'")], ids=["element", "attribute"]
)
def test_programs_that_write_it_anew_may_choose_the_form(about, tmp_path):
    assert read(written(tmp_path, about))["request"] == {"seed": 3}


BOMB = '<!DOCTYPE r [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
WRONG = {
    "nothing": b"",
    "no XML": b"<a",
    "no UTF-8": xmp(f"<h:made>{OURS}</h:made>").decode().encode("utf-16"),
    "entities": xmp(f"<h:made>{OURS}</h:made>&b;", BOMB),
    "empty": xmp("<h:made/>"),
    "no JSON": xmp("<h:made>{</h:made>"),
    "a list": xmp("<h:made>[]</h:made>"),
    "no request": xmp('<h:made>{"bundle": {}}</h:made>'),
    "a request that is none": xmp('<h:made>{"bundle": {}, "request": 3}</h:made>'),
    "nested without end": xmp(f"<h:made>{'[' * 100_000}</h:made>"),
    "too long": xmp(f"<h:made>{OURS}{' ' * (1 << 20)}</h:made>"),
    "in no description": xmp().replace(b"<r:RDF", f"<h:made>{OURS}</h:made><r:RDF".encode()),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_others_may_have_put_there(name, tmp_path):
    path = written(tmp_path, b"x").with_name("w.webp")  # a WebP carries any bytes
    path.write_bytes(encode(np.zeros((2, 3, 3), np.uint8), "webp", WRONG[name]))
    with pytest.raises(UserError, match="says nothing of how it was made"):
        read(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["png", "webp"]))
def test_spoilt_files_end_in_a_line(data, kind, tmp_path_factory):
    whole = bytearray(encode(np.zeros((2, 3, 3), np.uint8), kind, xmp(f"<h:made>{OURS}</h:made>")))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("s") / "a"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        assert isinstance(read(path)["request"], dict)
    except (UserError, OSError) as error:
        assert "\n" not in str(error)


class TestCommands:
    def test_what_render_wrote_show_tells(self, system, here, capsys):
        assert main([*RENDER, "--seed", "3", "--sheet"]) == 0
        capsys.readouterr()
        for name in ("out.png", "out-sheet.png"):
            assert main(["show", name, "--json"]) == 0
            told = json.loads(capsys.readouterr().out)
            assert told["bundle"]["digest"] == system.bundle.digest
            assert (told["request"]["prompt"], told["request"]["seed"]) == ("a person", 3)
        assert main(["show", "out.png"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[1:] for line in lines if line.startswith("prompt")] == [["a", "person"]]

    def test_each_of_many_tells_its_own_seed(self, system, here):
        assert main([*RENDER, "--seed", "3", "--count", "2"]) == 0
        assert [read(here / f"out-{i}.png")["request"]["seed"] for i in (1, 2)] == [3, 4]

    def test_no_path_of_the_machine_is_in_it(self, system, here):
        assert main(RENDER) == 0
        said = xmp_of((here / "out.png").read_bytes()).decode()
        assert str(here) not in said
        assert "demo_pose" not in said

    def test_all_but_the_drawn_pose_of_a_demo_says_so(self, system, here):
        assert main(["demo", "--out", "d"]) == 0
        silent = []
        for path in sorted((here / "d").iterdir()):
            with Image.open(path) as picture:
                silent += [] if "XML:com.adobe.xmp" in picture.text else [path.name]
        assert silent == ["pose.png"]

    @pytest.mark.parametrize("command", [RENDER, ("demo", "--out", ".")])
    def test_it_can_be_left_out(self, system, here, capsys, command):
        assert main([*command, "--no-metadata"]) == 0
        name = "out.png" if command is RENDER else "result.png"
        capsys.readouterr()
        assert "--no-metadata" in refused(capsys, "show", name)

    def test_show_refuses_what_is_no_picture(self, here, capsys):
        (here / "a.png").write_text("no picture")
        assert "PNG or WebP" in refused(capsys, "show", "a.png")
        assert "nothing.png" in refused(capsys, "show", "nothing.png")


def test_words_behind_the_pixels_are_found_too(tmp_path):
    """Some programs move text chunks behind the picture's data."""
    path = written(tmp_path, xmp(attribute=f"h:made='{OURS}'"))
    data, chunks, at = path.read_bytes(), [], 8
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        chunks.append(data[at:end])
        at = end
    words = [chunk for chunk in chunks if chunk[4:8] == b"iTXt"]
    others = [chunk for chunk in chunks if chunk[4:8] not in (b"iTXt", b"IEND")]
    assert len(words) == 1
    path.write_bytes(data[:8] + b"".join([*others, *words, chunks[-1]]))
    assert read(path)["request"] == {"seed": 3}
    path.write_bytes(data[:8] + b"".join(others)[:-5])
    with pytest.raises(UserError):
        read(path)
