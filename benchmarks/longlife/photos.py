"""Photos as people upload them: small, large, of phones, and one that is none."""

from __future__ import annotations

from pathlib import Path

import cv2


def photos_of(folder: Path) -> list[tuple[str, bytes]]:
    """Name and content, 0.3 to 12 megapixels, as JPEG, PNG and WebP.

    Args:
        folder: of ``fer-host sample-photo``.
    """
    astronaut = cv2.imread(str(folder / "astronaut.png"))
    found = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir()) if path.suffix in (".png", ".jpg")]
    large = cv2.resize(astronaut, (3464, 3464), interpolation=cv2.INTER_CUBIC)
    found.append(("12 megapixels.jpg", cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()))
    middle = cv2.resize(astronaut, (1600, 1600))
    found.append(("2.6 megapixels.webp", cv2.imencode(".webp", middle, [cv2.IMWRITE_WEBP_QUALITY, 80])[1].tobytes()))
    return found
