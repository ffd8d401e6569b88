"""Python's own SHA-256 gives OpenSSL's digests, and reading a bundle loads no OpenSSL."""

import hashlib
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from fer_edge.contract.digest import sha256, sha256_of


@given(st.binary(max_size=300))
def test_as_hashlib(content: bytes):
    assert sha256(content) == hashlib.sha256(content).hexdigest()


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_in_blocks_as_whole(blocks: list[bytes]):
    assert sha256_of(blocks) == sha256(b"".join(blocks))


def test_known_answer():  # FIPS 180-4, example of NIST
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_bundles_are_read_without_openssl():
    line = "import fer_edge.contract.bundle, sys; sys.exit('_hashlib' in sys.modules or 'ssl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0
