"""Label sets and their order. A network's own order is its manifest's ``labels``; nothing is inferred from a name."""

from __future__ import annotations

# Alphabetical, as in the thesis' app (and the eight-class HSEmotion networks it stems from).
EMOTIONS8 = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
EMOTIONS7 = tuple(name for name in EMOTIONS8 if name != "contempt")
LABEL_SETS = {"ferplus8": EMOTIONS8, "fer7": EMOTIONS7}
