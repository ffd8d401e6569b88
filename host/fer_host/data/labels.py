"""What data sets and people call the emotions, and this kit's name for each."""

from __future__ import annotations

from fer_edge.contract.labels import EMOTIONS8

LABEL_SYNONYMS: dict[str, str] = {
    **{name: name for name in EMOTIONS8},
    "angry": "anger",
    "fearful": "fear",
    "happy": "happiness",
    "smiling": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "disgusted": "disgust",
}
