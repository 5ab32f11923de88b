"""Reads a QR code back from a PNG, by the standard's own rules and without the library that drew it.

Only what a pay-in address needs: versions 3 to 6, byte mode, no errors to correct.
"""

import base64
import struct
import zlib
from collections.abc import Callable
from typing import Final

#: Version -> (data codewords of each block) at error correction M (ISO/IEC 18004, table 9).
BLOCKS_M: Final = {2: [28], 3: [44], 4: [32, 32], 5: [43, 43], 6: [27] * 4}
#: The two format bits of error correction M.
LEVEL_M: Final = 0b00

#: The eight masks: True where a module is flipped.
MASKS: Final[tuple[Callable[[int, int], bool], ...]] = (
    lambda r, c: (r + c) % 2 == 0,
    lambda r, _: r % 2 == 0,
    lambda _, c: c % 3 == 0,
    lambda r, c: (r + c) % 3 == 0,
    lambda r, c: (r // 2 + c // 3) % 2 == 0,
    lambda r, c: r * c % 2 + r * c % 3 == 0,
    lambda r, c: (r * c % 2 + r * c % 3) % 2 == 0,
    lambda r, c: ((r + c) % 2 + r * c % 3) % 2 == 0,
)


def pixels_of(uri: str) -> list[list[bool]]:
    """Dark pixels of a data URI with a PNG of one bit of grey, unfiltered."""
    head, _, text = uri.partition(",")
    assert head == "data:image/png;base64"
    raw = base64.b64decode(text, validate=True)
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(raw):
        (size,) = struct.unpack(">I", raw[at : at + 4])
        kind, data = raw[at + 4 : at + 8], raw[at + 8 : at + 8 + size]
        assert zlib.crc32(kind + data) == int.from_bytes(raw[at + 8 + size : at + 12 + size])
        chunks[kind] = data
        at += 12 + size
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, depth, colour, *rest = struct.unpack(">2I5B", chunks[b"IHDR"])
    assert (depth, colour, rest) == (1, 0, [0, 0, 0])
    data, stride = zlib.decompress(chunks[b"IDAT"]), width // 8 + 1
    lines = [data[y * stride : (y + 1) * stride] for y in range(height)]
    assert all(line[0] == 0 for line in lines)
    return [[not line[1 + x // 8] >> (7 - x % 8) & 1 for x in range(width)] for line in lines]


def modules_of(pixels: list[list[bool]], quiet: int) -> list[list[bool]]:
    """The modules of a picture whose quiet zone is `quiet` modules wide; asserts that it is."""
    size = len(pixels)
    assert all(len(line) == size for line in pixels)
    # The finder pattern's upper edge is seven modules of dark: its pixels give the module's size.
    for version in BLOCKS_M:
        width = 4 * version + 17
        full = width + 2 * quiet
        centre = [(2 * i + 1) * size // (2 * full) for i in range(full)]
        grid = [[pixels[y][x] for x in centre] for y in centre]
        inner = [row[quiet:-quiet] for row in grid[quiet:-quiet]]
        outer = sum(map(sum, grid)) - sum(map(sum, inner))
        if outer == 0 and _finders(inner) and _timing(inner):
            return inner
    raise AssertionError("no QR code with this quiet zone")


def _finders(grid: list[list[bool]]) -> bool:
    """The three corners: seven by seven, a dark ring, a light ring, a dark heart."""
    end = len(grid) - 7
    return all(
        grid[top + r][left + c] == (max(abs(r - 3), abs(c - 3)) != 2)
        for top, left in ((0, 0), (0, end), (end, 0))
        for r in range(7)
        for c in range(7)
    )


def _timing(grid: list[list[bool]]) -> bool:
    return all(grid[6][i] == grid[i][6] == (i % 2 == 0) for i in range(8, len(grid) - 8))


def text_of(grid: list[list[bool]]) -> str:
    """What the modules say; asserts error correction M."""
    size = len(grid)
    version = (size - 17) // 4
    places = [*((8, c) for c in (0, 1, 2, 3, 4, 5, 7, 8)), *((r, 8) for r in (7, 5, 4, 3, 2, 1, 0))]
    bits = "".join(str(int(grid[r][c])) for r, c in places)
    form = int(bits, 2) ^ 0b101010000010010
    assert form >> 13 == LEVEL_M, "error correction M"
    mask = MASKS[form >> 10 & 7]
    stream = [grid[r][c] != mask(r, c) for r, c in _path(size, version)]
    words = [
        sum(bit << (7 - i) for i, bit in enumerate(stream[at : at + 8]))
        for at in range(0, len(stream) - 7, 8)
    ]
    sizes = BLOCKS_M[version]
    blocks: list[list[int]] = [[] for _ in sizes]
    taken = iter(words)
    for row in range(max(sizes)):
        for block, length in zip(blocks, sizes, strict=True):
            if row < length:
                block.append(next(taken))
    message = "".join(f"{word:08b}" for block in blocks for word in block)
    assert message[:4] == "0100", "byte mode"
    count = int(message[4:12], 2)
    return int(message[12 : 12 + 8 * count], 2).to_bytes(count).decode("ascii")


def _path(size: int, version: int) -> list[tuple[int, int]]:
    """The data modules in reading order: two columns at a time, up and down, from the right."""
    found, up = [], True
    for right in range(size - 1, 0, -2):
        column = right - 1 if right <= 6 else right  # the vertical timing pattern is skipped
        rows = range(size - 1, -1, -1) if up else range(size)
        found += [
            (r, c) for r in rows for c in (column, column - 1) if not _fixed(r, c, size, version)
        ]
        up = not up
    return found


def _fixed(r: int, c: int, size: int, version: int) -> bool:
    """True for finders, separators, format bits, timing and, from version 2 on, one alignment."""
    corner = (r <= 8 and (c <= 8 or c >= size - 8)) or (r >= size - 8 and c <= 8)
    middle = size - 7  # centre of the alignment pattern of versions 2 to 6
    align = version >= 2 and max(abs(r - middle), abs(c - middle)) <= 2
    return corner or r == 6 or c == 6 or align
