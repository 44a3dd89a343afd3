"""The history in XMP says what was done, and nothing else of the packet changes."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from blur2blur import images
from blur2blur.files import keep_dates
from blur2blur.images import Tag
from blur2blur.images.history import with_event
from blur2blur.images.metadata import Metadata

TAG = Tag(software="blur2blur 0.1.0", parameters="known-blur 2198f87c & <none>")
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
MM = "http://ns.adobe.com/xap/1.0/mm/"
EVENT = "{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}"

PLAIN = f"""<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='{RDF}'><rdf:Description
 rdf:about='' xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmp:CreatorTool='Größe 1'/></rdf:RDF>
</x:xmpmeta>{" " * 2000}
<?xpacket end='w'?>""".encode()
# other prefixes, an earlier event, another list, and no packet around it
EDITED = f"""<r:RDF xmlns:r='{RDF}' xmlns:m='{MM}' xmlns:dc='http://purl.org/dc/elements/1.1/'>
<r:Description r:about='' xmlns:e='{EVENT[1:-1]}'><dc:subject><r:Bag><r:li>sea</r:li></r:Bag>
</dc:subject><m:History><r:Seq><r:li e:action='saved' e:softwareAgent='Other 2'/></r:Seq>
</m:History></r:Description></r:RDF>""".encode()


def events(xmp: bytes) -> list[tuple[str | None, str | None]]:
    root = ElementTree.fromstring(xmp.strip(b"\0"))
    found = []
    for item in root.findall(f".//{{{MM}}}History/{{{RDF}}}Seq/{{{RDF}}}li"):
        values = {**item.attrib, **{child.tag: child.text for child in item}}
        found.append((values.get(f"{EVENT}action"), values.get(f"{EVENT}softwareAgent")))
    return found


@pytest.mark.parametrize(
    ("packet", "before"),
    [(None, []), (PLAIN, []), (PLAIN + b"\0\0", []), (EDITED, [("saved", "Other 2")])],
)
def test_an_event_is_added_and_the_rest_stays(
    packet: bytes | None, before: list[tuple[str, str]]
) -> None:
    once = with_event(packet, TAG)
    assert once is not None
    assert events(once) == [*before, ("edited", "blur2blur 0.1.0")]
    assert b"known-blur 2198f87c &amp; &lt;none>" in once.replace(b"&gt;", b">")
    twice = with_event(once, TAG)
    assert twice is not None
    assert events(twice) == [*before, *[("edited", "blur2blur 0.1.0")] * 2]
    if packet is not None:
        for line in packet.split(b"\n"):
            content = line.strip(b" \0").removesuffix(b"</rdf:RDF>")
            assert content.split(b"</r:Seq>")[0] in once


def test_the_packets_padding_gives_way() -> None:
    once = with_event(PLAIN, TAG)
    assert once is not None
    assert len(once) == len(PLAIN)
    assert once.endswith(b"<?xpacket end='w'?>")


@pytest.mark.parametrize(
    "packet",
    [
        b"no xml",
        PLAIN.decode().replace(" " * 2000, "").encode("utf-16"),
        PLAIN[:200],
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
        f"<r:RDF xmlns:r='{RDF}'/>".encode(),
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>",
    ],
)
def test_what_is_no_packet_is_left_alone(packet: bytes, tmp_path: Path) -> None:
    assert with_event(packet, TAG) is None
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    photograph = replace(images.read(tmp_path / "a.png"), metadata=Metadata(xmp=packet))
    notes = images.write(tmp_path / "b.png", photograph, tag=TAG)
    assert notes == ("its XMP is damaged or not in UTF-8: what was done is not noted in it",)
    assert images.read(tmp_path / "b.png").metadata.xmp == packet


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif", ".heic"])
def test_every_format_says_what_was_done_and_keeps_the_cameras_words(
    suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    pixels = np.full((32, 48, 3), 0.5, np.float32)
    images.write_rgb(path, pixels)
    told = ["-EXIF:Software=Camera 1.0", "-XMP:CreatorTool=Developer 2", "-XMP:Rating=4"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *told, path], check=True)

    def tags(file: Path) -> dict[str, object]:
        command = ["exiftool", "-json", "-G1", "-struct", "-n", "-IFD0:all", "-XMP:all", file]
        found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]
        return {key: value for key, value in found.items() if key != "SourceFile"}

    out = tmp_path / f"b{suffix}"
    assert images.write(out, images.read(path)) == ()
    without = tags(out)
    assert images.write(out, images.read(path), tag=TAG) == ()
    found = tags(out)
    history = found.pop("XMP-xmpMM:History")
    assert history == [
        {"Action": "edited", "SoftwareAgent": TAG.software, "Parameters": TAG.parameters}
    ]
    layout = {"IFD0:StripOffsets"}
    assert {key: found[key] for key in found.keys() - layout} == {
        key: without[key] for key in without.keys() - layout
    }
    assert found["IFD0:Software"] == "Camera 1.0"
    assert found["XMP-xmp:CreatorTool"] == "Developer 2"


def test_a_full_packet_of_jpeg_is_kept_before_the_event(tmp_path: Path) -> None:
    padding = b"<!--" + b"x" * (65_400 - len(EDITED)) + b"-->"
    Image.new("RGB", (9, 9)).save(tmp_path / "a.jpg", xmp=EDITED + padding)
    notes = images.write(tmp_path / "b.jpg", images.read(tmp_path / "a.jpg"), tag=TAG)
    assert notes == ("what was done is not noted: JPEG holds 64 kB of XMP",)
    assert images.read(tmp_path / "b.jpg").metadata.xmp == EDITED + padding


def test_bmp_has_no_place_for_it(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.bmp")
    assert images.write(tmp_path / "b.bmp", images.read(tmp_path / "a.bmp"), tag=TAG) == ()


def test_dates_of_the_file_are_kept(tmp_path: Path) -> None:
    source, out = tmp_path / "a.png", tmp_path / "b.png"
    Image.new("RGB", (9, 9)).save(source)
    out.write_bytes(source.read_bytes())
    os.utime(source, ns=(1_000_000_000_123_456_700, 1_100_000_000_765_432_100))
    keep_dates(source, out)
    assert out.stat().st_mtime_ns == source.stat().st_mtime_ns
    assert out.stat().st_atime_ns == 1_000_000_000_123_456_700
