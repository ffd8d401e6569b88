"""Where the program starts: ``python -m fer_edge``, and bin/fer-edge.

From the first line on Ctrl-C ends the process at once and without a traceback; ``contract.process`` takes over from
there. ``_signal`` and not ``signal``: that one takes milliseconds to import, in which Ctrl-C would show a traceback.
"""

import _signal  # type: ignore[import-not-found]  # typeshed describes signal alone

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
_signal.pthread_sigmask(_signal.SIG_UNBLOCK, {_signal.SIGINT})


def main() -> int:
    """Runs the command line; gives the exit status."""
    from fer_edge.cli import main as run

    return run()


if __name__ == "__main__":
    import sys

    sys.exit(main())
