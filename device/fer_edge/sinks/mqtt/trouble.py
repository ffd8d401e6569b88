"""What is said of a connection that does not hold: once for each outage and reason, with what to do about it."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any

SHORT_S = 5.0  # a connection that ends sooner has been ended by something
SHORT_TIMES = 3  # so often in a row: somebody else comes with the same id
CLASH_SAID_S = 600.0  # the same clash is said again after this


class Trouble:
    """Decides what is worth a line; told of every event of a connection, from paho's thread.

    Args:
        where: the broker, for messages.
        device_id: of this instance.
        log: writes the lines.
        clock: s; another one in tests.
    """

    def __init__(
        self, where: str, device_id: str, log: logging.Logger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._where, self._id, self._log, self._clock = where, device_id, log, clock
        self._said = ""
        self._connected_s: float | None = None
        self._refused = False
        self._short = 0
        self._clash_s = float("-inf")

    @property
    def clashes(self) -> bool:
        """Whether another client has taken the id, not long ago."""
        return self._clock() - self._clash_s < CLASH_SAID_S

    def connected(self) -> None:
        """The broker has taken us."""
        self._connected_s, self._refused = self._clock(), False
        if self.clashes:
            return
        (self._log.warning if self._said else self._log.info)("%s: connected", self._where)
        self._said = ""

    def refused(self, code: Any) -> None:
        """The broker has answered, and does not take us."""
        self._refused = True
        self._say(f"refused by the broker: {connack_words(code)}; check username, password and the broker's log")

    def failed(self) -> None:
        """No connection came about; called while the error is handled."""
        error = sys.exc_info()[1]
        reason = " ".join(str(error).split()) if error else "no reason given"
        self._say(f"cannot connect ({reason}); trying again")

    def ended(self, code: Any, cut: str) -> None:
        """A connection has ended.

        Args:
            code: paho's.
            cut: why we have ended it ourselves; "" where the other side has.
        """
        reason, lasted_s = cut or end_words(code), None
        if self._connected_s is not None:
            lasted_s, self._connected_s = self._clock() - self._connected_s, None
        if lasted_s is None:
            if not self._refused:
                self._say(
                    f"no MQTT broker answers there ({reason}); trying again; check mqtt.host, mqtt.port and mqtt.tls"
                )
            self._refused = False
            return
        self._short = self._short + 1 if lasted_s < SHORT_S else 0
        if self._short >= SHORT_TIMES and not cut:
            self.clash(f"connection lost {self._short} times as soon as it was there ({reason}); maybe another client")
        elif not self.clashes:
            self._say(f"connection lost ({reason}); trying again")

    def clash(self, who: str) -> None:
        """Another client uses our id, and the broker lets only one of them in.

        Args:
            who: the beginning of the line.
        """
        if not self.clashes:
            self._clash_s = self._clock()
            self._log.error(
                "%s: %s has the same id %s, so that they throw each other off; give each its own: mqtt.device_id "
                "(--mqtt-device-id)",
                self._where,
                who,
                self._id,
            )

    def say(self, text: str) -> None:
        """Something else, once."""
        self._say(text)

    def _say(self, trouble: str) -> None:
        if trouble != self._said:
            self._said = trouble
            self._log.warning("%s: %s", self._where, trouble)


def connack_words(code: Any) -> str:
    """Why a broker refuses: paho 2 gives an object, paho 1 the number of MQTT 3.1.1, table 3.1."""
    words = {
        1: "unacceptable protocol version",
        2: "id rejected",
        3: "server unavailable",
        4: "bad username or password",
        5: "not authorized",
    }
    return words.get(code, f"code {code}") if isinstance(code, int) else str(code)


def end_words(code: Any) -> str:
    """Why a connection ended: paho 2 gives an object, paho 1 the number of an error of its own."""
    words = {1: "closed by the broker", 2: "what comes is not MQTT", 7: "closed by the broker", 16: "no answer"}
    if isinstance(code, int):
        return words.get(code, f"code {code}")
    text = str(code)
    return {"Unspecified error": "closed by the broker", "Keep alive timeout": "no answer"}.get(text, text)
