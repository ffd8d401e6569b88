"""Readings from an event loop to a broker, beside whatever else the loop does.

pip install 'fer-edge[mqtt]'
python asyncio_mqtt.py                     the first camera, the broker on this machine
python asyncio_mqtt.py clip.mp4 broker 1883
"""

from __future__ import annotations

import asyncio
import sys

import fer_edge


async def heartbeat() -> None:
    """Stands for your own work in the loop."""
    while True:
        await asyncio.sleep(1)
        print("the loop is free", flush=True)


async def main(uri: str | None, host: str, port: int) -> None:
    """Publishes until the source ends."""
    beating = asyncio.create_task(heartbeat())
    with (
        fer_edge.open_reader() as reader,
        fer_edge.open_source(uri) as frames,
        fer_edge.MqttSink(reader, host, port=port) as sink,
    ):
        async for reading in reader.afollow(frames):
            sink.publish(reading)
    beating.cancel()


if __name__ == "__main__":
    given = [*sys.argv[1:], *[""] * 3]
    asyncio.run(main(given[0] or None, given[1] or "localhost", int(given[2] or 0)))
