"""What was done to a photograph, as an event in the history of its XMP packet (XMP, part 2).

The packet is added to, not written anew: all other bytes stay. A history says what happened in
which order, so that no earlier program's name is lost.
"""

from dataclasses import dataclass
from xml.parsers import expat
from xml.sax.saxutils import escape

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MEDIA_MANAGEMENT = "http://ns.adobe.com/xap/1.0/mm/"
_EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
_LISTS = frozenset({f"{_RDF} Seq", f"{_RDF} Bag", f"{_RDF} Alt"})
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">\n'
    '</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """What did it, such as "blur2blur 0.1.0", and how: names and hashes of weights."""

    software: str
    parameters: str


def with_event(xmp: bytes | None, tag: Tag) -> bytes | None:
    """Return the packet, or a new one, with the event as the last of its history.

    No time is in it, so that equal inputs give equal files. Spaces at the packet's end, which are
    there for that, give way. None where it is damaged, or not in UTF-8.
    """
    packet = xmp or _EMPTY
    found = _find_ends(packet)
    if found is None:
        return None
    list_end, description_end = found
    event = (
        f'<rdf:li xmlns:rdf="{_RDF}" xmlns:stEvt="{_EVENT}" rdf:parseType="Resource">'
        "<stEvt:action>edited</stEvt:action>"
        f"<stEvt:softwareAgent>{escape(tag.software)}</stEvt:softwareAgent>"
        f"<stEvt:parameters>{escape(tag.parameters)}</stEvt:parameters></rdf:li>"
    )
    if list_end is None:
        event = (
            f'<rdf:Description xmlns:rdf="{_RDF}" xmlns:xmpMM="{_MEDIA_MANAGEMENT}" rdf:about="">'
            f"<xmpMM:History><rdf:Seq>{event}</rdf:Seq></xmpMM:History></rdf:Description>"
        )
    place = description_end if list_end is None else list_end
    added = event.encode("utf-8", "replace")
    return _shortened(packet[:place] + added + packet[place:], len(added))


def _find_ends(packet: bytes) -> tuple[int | None, int] | None:
    """Return where the list of the history ends, None without one, and where the descriptions do.

    None where the packet is not what it should be.
    """
    open_elements: list[str] = []
    ends: dict[str, int] = {}
    parser = expat.ParserCreate(namespace_separator=" ")

    def start(name: str, _: object) -> None:
        open_elements.append(name)

    def end(name: str) -> None:
        open_elements.pop()
        place = parser.CurrentByteIndex
        if packet[place : place + 2] != b"</":
            return  # an element without content
        if name == f"{_RDF} RDF":
            ends.setdefault("descriptions", place)
        elif name in _LISTS and open_elements[-1:] == [f"{_MEDIA_MANAGEMENT} History"]:
            ends.setdefault("list", place)

    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        packet.decode("utf-8")
        parser.Parse(packet.rstrip(b"\x00 \r\n\t"), True)
    except (expat.ExpatError, UnicodeDecodeError):
        return None
    return (ends.get("list"), ends["descriptions"]) if "descriptions" in ends else None


def _shortened(packet: bytes, most_bytes: int) -> bytes:
    """Return the packet with up to so many fewer spaces before its end."""
    body, mark, trailer = packet.rpartition(b"<?xpacket end=")
    spaces = len(body) - len(body.rstrip())
    kept = len(body) - min(max(0, spaces - 1), most_bytes)
    return body[:kept] + mark + trailer
