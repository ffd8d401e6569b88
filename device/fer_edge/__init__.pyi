"""The public names with their types; ``__init__.py`` imports each when it is first used."""

from fer_edge.errors import BundleError as BundleError
from fer_edge.errors import ConfigError as ConfigError
from fer_edge.errors import EdgeError as EdgeError
from fer_edge.errors import ImageError as ImageError
from fer_edge.errors import LandmarkError as LandmarkError
from fer_edge.errors import RunnerError as RunnerError
from fer_edge.errors import SchemaError as SchemaError
from fer_edge.errors import SourceError as SourceError
from fer_edge.errors import UsageError as UsageError
from fer_edge.errors import VerifyError as VerifyError
from fer_edge.library.drawing import annotate as annotate
from fer_edge.library.drawing import blur as blur
from fer_edge.library.reader import Reader as Reader
from fer_edge.library.reader import open_reader as open_reader
from fer_edge.library.reading import Face as Face
from fer_edge.library.reading import Reading as Reading
from fer_edge.library.reading import reading_schema as reading_schema
from fer_edge.library.sinks import JsonlSink as JsonlSink
from fer_edge.library.sinks import MqttSink as MqttSink
from fer_edge.library.source import open_source as open_source
from fer_edge.tracking.track import TrackSettings as TrackSettings
from fer_edge.types import Frame as Frame

__version__: str
__all__: list[str]
