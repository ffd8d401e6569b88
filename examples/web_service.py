"""A web service: POST a photo, get its reading.

    pip install fastapi uvicorn
    uvicorn web_service:app
    curl --data-binary @photo.jpg http://127.0.0.1:8000/read

FastAPI runs a plain `def` in one of its threads, and a reader may be used from any.
"""

from __future__ import annotations

from typing import Any

from fastapi import Body, FastAPI, HTTPException

import fer_edge

MOST_BYTES = 20_000_000
app = FastAPI(title="fer-edge")
reader = fer_edge.open_reader()


@app.post("/read")
def read(photo: bytes = Body(media_type="application/octet-stream")) -> dict[str, Any]:
    """The reading of a photo, as in the JSON line."""
    if len(photo) > MOST_BYTES:
        raise HTTPException(413, f"{len(photo)} bytes, expected at most {MOST_BYTES}")
    try:
        return reader.read(photo).to_dict()
    except fer_edge.ImageError as error:
        raise HTTPException(422, str(error)) from error


@app.get("/labels")
def labels() -> list[str]:
    """The expressions that are told apart."""
    return list(reader.labels)
