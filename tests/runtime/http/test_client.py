"""The client of docs/serve.md, as it stands there."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.mosaic.registry import opened_here
from support.mosaic.runtime import Request
from support.served_mosaic import SLOW

import handfirst

PAGE = Path(__file__).parents[3] / "docs/serve.md"
LONGEST = 40


@pytest.fixture
def client(server):
    (code,) = re.findall(r"```python\n(import json\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.strip().splitlines()) <= LONGEST
    names = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names["Client"](server.url)


def test_it_makes_a_picture(client, bundle):
    asked = {"colour": "blue", "seed": SLOW, "steps": 4}
    id = client.submit(asked, key="a picture", bundle="mosaic")
    assert client.submit(asked, key="a picture", bundle="mosaic") == id
    heard = list(client.events(id))
    assert [data["step"] for name, data in heard if name == "step" and data["total"] == 4] == [1, 2, 3, 4]
    assert heard[-1][0] == "end" and heard[-1][1]["state"] == "succeeded"
    with opened_here():
        model = handfirst.open(bundle, engine="cpu", threads=1)
    expected = model.render(Request("blue", SLOW, 4))
    model.close()
    assert (np.asarray(Image.open(io.BytesIO(client.picture(id)))) == expected.image).all()
    assert (np.asarray(Image.open(io.BytesIO(client.picture(id, "mask")))) == expected.mask * 255).all()


def test_it_waits_where_the_server_is_full(client, server):
    jobs = [
        server.ask(bundle="mosaic", request={"colour": "red", "seed": SLOW + i, "steps": 4})["id"] for i in range(4)
    ]
    id = client.submit({"colour": "red"}, key="one too many", bundle="mosaic")
    assert server.until(id)["state"] == "succeeded" and all(server.until(job) for job in jobs)


def test_it_says_what_is_wrong(client):
    with pytest.raises(ValueError, match=r"^colour: expected one, got none$"):
        client.submit({}, key="nothing", bundle="mosaic")
