"""The exception tree of fer-edge.

EdgeError                        (fer_edge.contract.errors)
├── SchemaError (ValueError)     a JSON document that does not decode, with the field's path
├── BundleError (ValueError)     a bundle that is absent, damaged or not for this device
├── LandmarkError (ValueError)   landmarks from which no crop can be cut
├── ImageError (ValueError)      a photo that cannot be read
├── SourceError (OSError)        a frame source that cannot be opened or was lost
├── RunnerError (RuntimeError)   no interpreter, or a network that it cannot run
├── VerifyError (ArithmeticError) outputs differ from the golden vectors
├── ConfigError (ValueError)     a configuration file that cannot be read, or a key or value in it that is wrong
└── UsageError (ValueError)      command-line values that do not go together
"""

from __future__ import annotations

from collections.abc import Sequence

from fer_edge.contract.errors import BundleError, EdgeError, LandmarkError, SchemaError

__all__ = [
    "BundleError",
    "ConfigError",
    "EdgeError",
    "ImageError",
    "LandmarkError",
    "RunnerError",
    "SchemaError",
    "SourceError",
    "UsageError",
    "VerifyError",
]


class ImageError(EdgeError, ValueError):
    """A photo that cannot be read as a picture."""


class SourceError(EdgeError, OSError):
    """A frame source that cannot be opened, or was lost."""


class RunnerError(EdgeError, RuntimeError):
    """No interpreter is installed, or it cannot run the network."""


class VerifyError(EdgeError, ArithmeticError):
    """The network's outputs here differ from the golden vectors."""


class ConfigError(EdgeError, ValueError):
    """A configuration that cannot be used.

    Args:
        message: one line.
        path: the key, where one is to blame.
        each: all mistakes, where there are several; the message is then the first one's, with their number.
    """

    path: str

    def __init__(self, message: str, path: str = "", each: Sequence[ConfigError] = ()) -> None:
        super().__init__(message)
        self.path, self.each = path, tuple(each) or (self,)

    @classmethod
    def of(cls, each: Sequence[ConfigError]) -> ConfigError:
        """One error of several mistakes."""
        first, *others = each
        return cls(f"{first} (and {len(others)} more)", first.path, each) if others else first


class UsageError(EdgeError, ValueError):
    """Command-line values that do not go together."""
