"""Bounds of everything that visitors, brokers and files give the web page and MQTT, each with its reason.

Sizes of photos can be set (``[web] max_upload_bytes``, ``max_upload_pixels``, ``max_viewers``); nothing here can.
"""

from __future__ import annotations

# -- connections of the page

MAX_CONNECTIONS = 32  # a thread each; a page needs at most 8, and 4 pages may watch by default
MAX_FROM_ONE = 16  # of them from one address: two browsers open 6 each, and a stream and events besides
REQUEST_S = 10.0  # for a request's headers to come, and for a kept connection to stay idle
WRITE_S = 10.0  # for one write to be taken by the client: a phone that changes its network needs some seconds
LINGER_S = 2.0  # a refused client's bytes are read away for so long, or it sees a broken connection, not the refusal
LINGER_BYTES = 32_000_000  # more than the largest photo by default

# -- a request

HEADER_BYTES = 16_384  # cookies of other programs on the same host come along; nginx takes no line above 8 KiB
HOST_CHARS = 255  # of a host name (RFC 1035), with its port
LOGIN_BYTES = 2048  # a form of one token
TOKEN_CHARS = 512  # of a token, wherever it comes from
FORM_FIELDS = 8  # of a query or form; ours has one
COMMAND_BYTES = 1024  # content of a request that needs none
UPLOAD_S = 60.0  # for a photo to come: 20 MB over a Wi-Fi of 3 Mbit/s
PHOTOS_AT_A_TIME = 2  # one is read while the next comes in; each holds a photo's bytes and px

# -- a photo, before anything is decoded (more in pictures/)

MIN_SIDE_PX, MAX_SIDE_PX = 16, 20_000  # a face needs 16 px; JPEG's own limit is 65,535

# -- MQTT

PACKET_BYTES = 1024  # of a packet from the broker: all that we listen to are single words
CONNACK_S = 15.0  # for a broker to answer once connected; more than a visitor of the page gets, as it may be far
FIRST_BACKOFF_S = 1  # until a lost broker is tried again; then it doubles, to [mqtt] max_backoff_s
INTRODUCE_S = 1.0  # between two introductions to a Home Assistant that says it restarted
BACKLOG = 8  # messages handed to the network and not yet sent; more are dropped
NAME_CHARS = 128  # of a device, topic prefix or id: brokers take 65,535 bytes, people read one line

# -- files

SECRET_BYTES = 65_536  # of a file whose first line is a secret
