"""What data sets and people call the emotions, and this kit's name for each. Class numbers differ in every set."""

from __future__ import annotations

from collections.abc import Sequence

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
    "afraid": "fear",
    "contemptuous": "contempt",
    "joy": "happiness",
    "smile": "happiness",
    "natural": "neutral",
}


def meant(name: str) -> str:
    """Our name of an emotion, whatever spelling it comes in; any other label in lower case."""
    return LABEL_SYNONYMS.get(name.lower(), name.lower())


def same_labels(names: Sequence[str], others: Sequence[str]) -> dict[int, int]:
    """Labels that mean the same as one of the others: {index in ``names``: index in ``others``}."""
    theirs = {meant(name): i for i, name in enumerate(others)}
    return {i: theirs[meant(name)] for i, name in enumerate(names) if meant(name) in theirs}


# fer2013.csv, column "emotion" (Goodfellow et al. 2013)
FER2013 = {0: "anger", 1: "disgust", 2: "fear", 3: "happiness", 4: "sadness", 5: "surprise", 6: "neutral"}
# RAF-DB, list_patition_label.txt of the basic set (Li et al. 2017)
RAFDB = {1: "surprise", 2: "fear", 3: "disgust", 4: "happiness", 5: "sadness", 6: "anger", 7: "neutral"}
# AffectNet, "expression" (Mollahosseini et al. 2017); 8 none, 9 uncertain, 10 no face have no label here
AFFECTNET = {
    0: "neutral",
    1: "happiness",
    2: "sadness",
    3: "surprise",
    4: "fear",
    5: "disgust",
    6: "anger",
    7: "contempt",
}
# CK+, *_emotion.txt (Lucey et al. 2010); 0 is neutral, of which no sequence is labelled
CKPLUS = {1: "anger", 2: "contempt", 3: "disgust", 4: "fear", 5: "happiness", 6: "sadness", 7: "surprise"}
# JAFFE, second part of the file name (Lyons et al. 1998)
JAFFE = {
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}
