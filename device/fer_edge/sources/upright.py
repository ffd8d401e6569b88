"""The eight ways a picture can lie, as EXIF numbers them, and how they add up: 1 is upright, 6 must be turned right.

CIPA DC-008, tag 0x0112. A turn is a 2x2 matrix of whole numbers: where the picture's x and y axes point when shown.
"""

from __future__ import annotations

from fer_edge.errors import SourceError

Matrix = tuple[int, int, int, int]  # (a, b, c, d): shown x = a x + c y, shown y = b x + d y (ISO 14496-12, 6.2.2)
UPRIGHT = 1
# by code: 2 mirrored, 3 on its head, 4 upside down and mirrored, 5 transposed, 6 turn right, 7 transverse, 8 turn left
MATRICES: dict[int, Matrix] = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
FLIPPED = (1, 2, 3, 4)  # those without a quarter turn: what a sensor can do by reading its rows and columns backwards
CODES = {matrix: code for code, matrix in MATRICES.items()}
TURNS = {0: 1, 90: 6, 180: 3, 270: 8}  # clockwise degrees
OPTIONS = ("rotation", "hflip", "vflip")


def then(first: int, second: int) -> int:
    """The code of doing ``first`` and then ``second``."""
    a, b, c, d = MATRICES[first]
    e, f, g, h = MATRICES[second]
    return CODES[(e * a + g * b, f * a + h * b, e * c + g * d, f * c + h * d)]


def from_matrix(a: float, b: float, c: float, d: float) -> int:
    """The code nearest to a container's matrix, whatever its scale; 1 for one that flattens the picture."""
    if a * d == b * c:
        return UPRIGHT
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return CODES[(1 if a > 0 else -1, 0, 0, 1 if d > 0 else -1)]
    return CODES[(0, 1 if b > 0 else -1, 1 if c > 0 else -1, 0)]


def from_degrees(clockwise: float, mirrored: bool = False) -> int:
    """The code of a picture to be mirrored left to right where it says so, then turned clockwise."""
    return then(2 if mirrored else UPRIGHT, TURNS[round(clockwise / 90) * 90 % 360])


def from_options(options: dict[str, int], text: str) -> int:
    """The code of ``rotation``, ``hflip`` and ``vflip`` in a source's options: turned clockwise, then mirrored.

    Raises:
        SourceError: a value out of range; ``text`` names the source.
    """
    rotation = options.get("rotation", 0)
    if rotation not in TURNS:
        raise SourceError(f"source {text}: rotation is {rotation}, expected 0, 90, 180 or 270 (degrees clockwise)")
    code = TURNS[rotation]
    for key, flip in (("hflip", 2), ("vflip", 4)):
        value = options.get(key, 0)
        if value not in (0, 1):
            raise SourceError(f"source {text}: {key} is {value}, expected 0 or 1")
        code = then(code, flip) if value else code
    return code
