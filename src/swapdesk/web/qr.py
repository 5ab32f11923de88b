"""A pay-in address as a QR code: pure. 256 x 256 pixels, exactly two modules of quiet zone.

segno says which modules are dark; the picture is drawn here, because its whole-number scales never
give exactly 256 pixels. Every pixel takes the colour of the module it lies in.
"""

import base64
import struct
import zlib
from typing import Final

import segno

SIZE_PIXELS: Final = 256
QUIET_MODULES: Final = 2
ERROR_CORRECTION: Final = "M"

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
#: One bit of grey per pixel.
_HEADER: Final = struct.pack(">2I5B", SIZE_PIXELS, SIZE_PIXELS, 1, 0, 0, 0, 0)


def data_uri(text: str) -> str:
    """The QR code of `text`, as it is, in a PNG in a data URI. ValueError beyond 2,331 bytes."""
    return "data:image/png;base64," + base64.b64encode(png(text)).decode()


def png(text: str) -> bytes:
    """The QR code of `text` as a PNG, black on white."""
    code = segno.make_qr(text, error=ERROR_CORRECTION, boost_error=False)
    modules = [bytes(row) for row in code.matrix]
    width = len(modules) + 2 * QUIET_MODULES
    place = [pixel * width // SIZE_PIXELS - QUIET_MODULES for pixel in range(SIZE_PIXELS)]
    blank = _scan_line([False] * SIZE_PIXELS)
    lines = [_scan_line([0 <= x < len(row) and row[x] == 1 for x in place]) for row in modules]
    picture = b"".join(lines[y] if 0 <= y < len(lines) else blank for y in place)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", _HEADER),
            _chunk(b"IDAT", zlib.compress(picture, 9)),
            _chunk(b"IEND", b""),
        )
    )


def _scan_line(dark: list[bool]) -> bytes:
    """One line of pixels, unfiltered; white is a set bit."""
    bits = sum(1 << index for index, each in enumerate(reversed(dark)) if not each)
    return b"\0" + bits.to_bytes(SIZE_PIXELS // 8)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
