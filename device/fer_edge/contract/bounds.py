"""Every bound of what comes from outside, each with its reason: the one place for both programs.

Bytes, px, items and seconds that files, bundles, cameras, visitors, brokers and the machine may take of us. Settings
have theirs where they are defined (``contract.limits``). A name ends in its unit; docs/bounds.md is made
from this file.
"""

from __future__ import annotations

# -- documents

DOCUMENT_BYTES = 256_000_000  # of a JSON document that is read whole; a board's latency table has 0.1 MB
MESSAGE_CHARS = 600  # of an error's line, whose middle is left out: people read one line
ARRAY_TEXT_CHARS = 256  # of one cell of text in an npz; ours have usages of ten letters
CONFIG_BYTES = 1_000_000  # of a configuration; one with every key has 6 kB
SECRET_BYTES = 65_536  # of a file whose first line is a secret; none is that long
CSV_ROW_BYTES = 65_536  # of the last row of a file that is added to, which may be torn
METER_BYTES = 268_435_456  # of a USB meter's file; a day at 10 lines a second has 60 MB
SYSTEM_FILE_BYTES = 67_108_864  # of a file of the system; dpkg's list of packages has a few MB
REPORT_FILE_BYTES = 1_048_576  # of one file in doctor's report, which is sent by mail

# -- a bundle

MANIFEST_BYTES = 4_000_000  # that are parsed; hawqc_mbv2's has 49 kB
BUNDLE_FILES = 256  # that a manifest lists; hawqc_mbv2's has 10
BUNDLE_FILE_BYTES = 1 << 28  # of one of them, also decoded; a board's memory bounds what a network can be
BUNDLE_BYTES = 1 << 30  # of all of them, which are read for their digests at every start; ours have 20 MB
XZ_MEMORY_BYTES = 128 << 20  # to unpack a file; the largest preset's dictionary takes 65 MiB
BITS1_REGIONS = 4096  # of weights in a packed file; a network has some 60 layers
CROP_PX = (8, 1024)  # sides of a crop; networks take 32 to 224, memory goes with the square
NORM_MOST = 1e3  # of a mean or standard deviation of values in 0..1; beyond it float32 loses the picture
STD_LEAST = 1e-6  # of a standard deviation, which divides
SCALE_MOST = 1e6  # of a quantized tensor; ours have below 1
AXIS_MOST = 4096  # of a tensor's axis: inputs have at most 1024 px, outputs as many as labels
INPUT_PX = 1024  # of a network's input, either side: crops have no more, and work goes with the square
VARIANTS = 32  # of a bundle, each of which a trial runs, also where all name one file; ours have up to 4
GOLDEN_INPUTS = 256  # of the golden vectors, each through slow reference kernels; ours have 8
PYRAMID_FACTOR = (0.3, 0.9)  # from one size of MTCNN's to the next: at 0.9 a picture has 33, at 0.9999999 34 million
LABELS = 1024  # of a network; ours have 8 and 15
LABEL_CHARS = 64  # of one label; it goes into MQTT, metrics, CSV and pictures
GOLDEN_ARRAY_BYTES = 1 << 28  # of one array of the golden vectors; eight inputs of 512 px take 25 MB
KEPT_FILES = 16  # of decoded networks in the cache, and of bundles that have been tried; the oldest go

# -- a bundle that is tried: its first load, and verify --untrusted

TRIAL_MEMORY_BYTES = 512 << 20  # of the child; all of hawqc_mbv2 takes 148 MB, most of it libraries
TRIAL_CPU_S = 120  # of a first load: 0.5 s on a PC; room for a board that is 200 times slower, or emulated
TRIAL_WALL_S = 200.0  # of a first load: the libraries come from a slow card; the unit gives a start 300 s
VERIFY_CPU_S = 1200  # of verify --untrusted, whose reference kernels are plain loops
VERIFY_WALL_S = 1800.0  # likewise, beside a service that runs
ARCHIVE_ENTRIES = 10_000  # of a packed bundle; ours have below 100, with all wheels
ARCHIVE_BYTES = 2 << 30  # of a packed bundle's files, unpacked; with all wheels ours have 0.3 GB
LISTED_BYTES = 262_144  # of an archive's list of digests and of its signature; ours have 100 lines, 10 kB
SIGNERS_BYTES = 1_000_000  # of a list of who may sign; a line has some 150 bytes
ANSWER_BYTES = 1 << 20  # that a child may print

# -- a clip

FEW_FAILURES = 64  # reads in a row without a picture before the end is believed, where no length is known
MOST_FAILURES = 100_000  # likewise while frames are still due: an hour of damage at 25 frames a second
FAILURES_S = 8.0  # of failures in a row; a player would have been closed by then
MATROSKA_ELEMENTS = 1_000_000  # that are walked; an hour at 25 frames a second has 90,000 blocks
MP4_BOXES = 100_000  # of one level; what is longer is damaged
PACKET_HEAD_BYTES = 4096  # of a packet that are looked at for the size: parameters stand before the picture
GAP_S = 10.0  # between two frames in real time: a recorder's pause is not waited for

# -- a camera

FIRST_FRAME_S = 30.0  # for the first frame: sensors and daemons take seconds to start
ARGUS_FIRST_FRAME_S = 45.0  # on a Jetson: OpenCV itself gives a pipeline 30 s and says why it then gives up
STALL_S = 10.0  # for each further one; the slowest camera asked for gives a frame a second
STOP_S = 3.0  # for it to close: one that was pulled out can hang in its driver for ever
STUCK_S = 20.0  # for a hung driver to let go, before only a new process can help
GOOD_FRAME_S = 5.0  # for a good frame of a driver: the first ones are often dark, late or broken
OPEN_S = 10.0  # for a network camera to take the connection; over a mesh of Wi-Fi seconds
READ_S = 5.0  # for the next bytes of a network camera
FROZEN_S = 15.0  # of the very same picture: a sensor's noise changes some pixel in every frame
SAME_S = 60.0  # likewise where single pictures are asked for; a new one may come seldom
PART_BYTES = 32_000_000  # of one picture in a stream; a JPEG of 100 megapixels has less
PART_HEADER_BYTES = 8_192  # between two pictures of a stream; cameras write some 100

# -- settings that are lists

ZONES = 32  # where faces are read; each face is asked for in each of them
ZONE_POINTS = 64  # corners of a zone, for the same reason

# -- the machine

COMMAND_S = 10.0  # for a program of the system, e.g. vcgencmd; nvpmodel starts slowly
DOCTOR_S = 120.0  # for doctor's child: imports from a slow card on a Zero 2 W
LOG_KINDS = 500  # of messages remembered, so that the same one is not logged at every frame
THREAD_ERROR_KINDS = 100  # of errors of threads whose place has been said

# -- data sets, on the host and in bench --accuracy

DATA_ARRAY_BYTES = 1 << 28  # of one array on a board; FER2013's pixels take 83 MB
TRAINING_ARRAY_BYTES = 1 << 32  # of one array on the host; FER2013 takes 83 MB, at 224 px 1.8 GB
SHARD_ROWS_BYTES = 1 << 30  # of one column of a set in shards; 3.3 million names take 100 MB
TRAINING_SIDE_PX = (8, 512)  # of its pictures; published crops have 48 to 112
TRAINING_VOTES = 1_000_000  # for one label of one picture; FERPlus has ten for all labels

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

ORIGINS = 16  # whose pages may show ours in a frame; all of them go into one header

# -- a photo, before anything is decoded

MIN_SIDE_PX, MAX_SIDE_PX = 16, 20_000  # a face needs 16 px; JPEG's own limit is 65,535
PHOTO_PIXELS = 100_000_000  # that are decoded: 300 MB; phones make up to 200 megapixels, mostly 12 to 50
PHOTO_BYTES = 200_000_000  # of a file; hardly any photo of 100 megapixels has more
PHOTO_RATIO = 100  # longer side to shorter: the search looks at every square along the longer one
PREPARED_PIXELS = 12_000_000  # of what is searched: of very long pictures, whose short side then comes out shorter
PREPARED_SIDE_PX = 32_000  # of what is searched; OpenCV's warpAffine takes less than 32,767
JPEG_SCANS = 64  # of a progressive one, each of which walks the picture again; cameras write about 10
PNG_DATA_BYTES = 300_000_000  # that are unpacked to save a damaged one: 100 megapixels of RGB
MTCNN_WINDOWS = 2048  # that go on, the best: each is compared with each; a picture of 100 faces has 500
PICTURE_SIZES = 32  # for which MTCNN keeps a network: a stream needs about 8, a folder of photos many more

# -- MQTT

PACKET_BYTES = 1024  # of a packet from the broker: all that we listen to are single words
CONNACK_S = 15.0  # for a broker to answer once connected; more than a visitor of the page gets, as it may be far
FIRST_BACKOFF_S = 1  # until a lost broker is tried again; then it doubles, to [mqtt] max_backoff_s
INTRODUCE_S = 1.0  # between two introductions to a Home Assistant that says it restarted
BACKLOG = 8  # messages handed to the network and not yet sent; more are dropped
NAME_CHARS = 128  # of a device, topic prefix or id: brokers take 65,535 bytes, people read one line
