"""An LED on a Raspberry Pi's pin 17 that is on while somebody smiles.

pip install gpiozero lgpio
python gpio_smile.py            the first camera
"""

from __future__ import annotations

import sys

import gpiozero

import fer_edge

PIN = 17


def main(uri: str | None) -> None:
    """Runs until the source ends; the LED is off then."""
    smiling: set[int | None] = set()
    led = gpiozero.LED(PIN)

    def on_change(what: str, face: fer_edge.Face, _: fer_edge.Reading) -> None:
        if what != "went" and face.label == "happiness":
            smiling.add(face.track)
        else:
            smiling.discard(face.track)
        led.value = bool(smiling)

    with led, fer_edge.open_reader() as reader, fer_edge.open_source(uri) as frames:
        for _ in reader.follow(frames, on_change=on_change):
            pass


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
