"""What a picture's file says of itself: that a model made it, which one, and what it was asked.

One XMP packet, the same for PNG (an iTXt chunk) and WebP (an XMP chunk): IPTC's digital source type and its names for
the system and the prompt, which other programs know, and one JSON object in a namespace of our own, which `read` gives
back. It follows from the bundle and the request alone, without a clock, a machine or a path, so that equal requests
still give equal files. Nothing is signed: anybody can change or remove it, and what a file says is a claim.

XMP: ISO 16684-1. Names: IPTC Photo Metadata Standard 2025.1, https://iptc.org/standards/photo-metadata. Term:
https://cv.iptc.org/newscodes/digitalsourcetype.
"""

from __future__ import annotations

import json
import re
import struct
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from handfirst.engines.errors import UserError

if TYPE_CHECKING:
    from handfirst.engines.bundle import Bundle
    from handfirst.runtime.system import Result

MADE_BY_A_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
VERSION = 1
"""Of the JSON object."""
LARGEST = 1 << 20
"""Bytes of a packet that is read; three prompts of the longest kind take 0.4 MB."""

NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "handfirst": "urn:handfirst:picture",
}
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write."""


def packet(bundle: Bundle, result: Result) -> bytes:
    """XMP of a picture, UTF-8.

    Args:
        bundle: of the model that painted it: its name and digest are told.
        result: what came of the request: all that it says was `asked`.
    """
    software = f"handfirst {metadata.version('handfirst')}"
    model = {"name": bundle.manifest.name, "digest": bundle.digest}
    told = {"version": VERSION, "software": software, "bundle": model, "request": dict(result.asked)}
    properties = {
        "Iptc4xmpExt:DigitalSourceType": MADE_BY_A_MODEL,
        "Iptc4xmpExt:AISystemUsed": software,
        "Iptc4xmpExt:AISystemVersionUsed": f"{bundle.manifest.name} {bundle.digest}",
        "Iptc4xmpExt:AIPromptInformation": str(result.asked.get("prompt", "")),
        "handfirst:made": json.dumps(told),  # ASCII alone, so that nothing in it can be lost on the way
    }
    top = ElementTree.Element("x:xmpmeta", {f"xmlns:{name}": uri for name, uri in NAMESPACES.items()})
    about = ElementTree.SubElement(ElementTree.SubElement(top, "rdf:RDF"), "rdf:Description", {"rdf:about": ""})
    for name, value in properties.items():
        ElementTree.SubElement(about, name).text = _NO_XML.sub(" ", value)
    head, tail = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n', '\n<?xpacket end="r"?>'
    return f"{head}{ElementTree.tostring(top, 'unicode')}{tail}".encode()


def read(path: Path) -> dict[str, Any]:
    """What a picture says of itself: "version", "software", "bundle" (name, digest), "request".

    The pixels are decoded only where nothing stands before them, and nothing of what is said is checked but its form.

    Raises:
        OSError: there is no such file.
        UserError: no PNG or WebP, or one that says nothing of how it was made.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=("png", "webp")) as picture:
            found = _packet(picture)
            if not found:  # a program may have moved it behind the pixels
                with suppress(OSError):  # cut off behind its size and its words
                    picture.load()
                found = _packet(picture)
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError, EOFError, struct.error):
        raise UserError(f"'{path}': expected a whole PNG or WebP, got something else; copy the picture again") from None
    told = _made(found.encode() if isinstance(found, str) else found)
    if told is None:
        raise UserError(
            f"'{path}': says nothing of how it was made; it was written with --no-metadata, by another program, or by "
            "one that left it out"
        )
    return told


def _packet(picture: Any) -> str | bytes:
    found: str | bytes = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp") or b""
    return found


def _made(xmp: bytes) -> dict[str, Any] | None:
    """Our JSON object in a packet that anybody may have written; None if there is none."""
    name = f"{{{NAMESPACES['handfirst']}}}made"
    try:
        text = xmp.decode()
        if len(xmp) > LARGEST or "<!DOCTYPE" in text:  # XMP declares nothing; what does may unfold without end
            return None
        about = ElementTree.fromstring(text).iter(f"{{{NAMESPACES['rdf']}}}Description")
        ours = (each.get(name) or each.findtext(name) for each in about)  # programs that rewrite XMP choose either
        told = json.loads(next(filter(None, ours), "null"))
    except (ElementTree.ParseError, ValueError, RecursionError):
        return None
    whole = isinstance(told, dict) and all(isinstance(told.get(part), dict) for part in ("bundle", "request"))
    return told if whole else None
