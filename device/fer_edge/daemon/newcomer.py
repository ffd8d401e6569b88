"""A bundle that is new here: tried before it runs; where it fails, the service goes on with the one before."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.errors import BundleError, EdgeError
from fer_edge.program.threads import OnceThread
from fer_edge.setting.find import find_bundle
from fer_edge.trial import first_load

log = logging.getLogger(__name__)


def tried(bundle: Bundle, environ: Mapping[str, str] | None = None) -> Bundle:
    """The bundle, once it has passed its trial; under systemd the last one that has, where it fails.

    Raises:
        BundleError: it fails, and there is no other.
    """
    try:
        first_load.check(bundle)
    except BundleError as error:
        is_service = "NOTIFY_SOCKET" in (os.environ if environ is None else environ)
        other = first_load.before(bundle) if is_service else None
        if other is None:
            raise
        log.error("%s; going on with the one before: %s", error, other.path)
        return other
    return bundle


class Newcomer:
    """Looks, on a reload, whether another bundle is there, and tries it while the one in use goes on.

    Args:
        in_use: the bundle that runs.
    """

    def __init__(self, in_use: Bundle) -> None:
        self._in_use = in_use
        self._thread: OnceThread | None = None

    def look(self, configured: str) -> None:
        """Begins to look; what is found is logged.

        Args:
            configured: the bundle's folder in the configuration; "" for the installed one.
        """
        if self._thread is None or not self._thread.is_alive():
            self._thread = OnceThread("bundle", lambda: self._try(configured))
            self._thread.start()

    def _try(self, configured: str) -> None:
        try:
            bundle = open_bundle(find_bundle(Path(configured) if configured else None))
            if bundle.sha256 == self._in_use.sha256:
                return
            first_load.check(bundle)
        except (EdgeError, OSError) as error:
            log.error("reload: %s; going on with the bundle in use", error)
            return
        log.warning("reload: bundle %s is new and was tried; it needs a restart", bundle.path)
