"""How many rows W&B's own file holds: wandb writes it and has no reader of it in Python."""

from collections.abc import Iterator
from pathlib import Path

HEADER, BLOCK, CHUNK_HEADER = 7, 32768, 7
LAST_CHUNKS = (1, 4)
"""Types of a chunk that is a whole record, or the end of one."""


def rows(path: Path) -> int:
    """Of a `run-*.wandb`; those before the place where it was cut, if it was."""
    from wandb.proto import wandb_internal_pb2 as protobuf

    count = 0
    for record in _records(path.read_bytes()):
        try:
            count += vars(protobuf)["Record"].FromString(record).HasField("history")
        except Exception:  # protobuf raises DecodeError, which has no types
            break
    return count


def _records(content: bytes) -> Iterator[bytes]:
    """LevelDB's log format: blocks of chunks, each with a checksum (4 bytes), its length (2) and
    its type (1) before its data; the last bytes of a block, too few for a chunk, are padding.
    """
    record, at = b"", HEADER
    while at + CHUNK_HEADER <= len(content):
        if (left := BLOCK - at % BLOCK) < CHUNK_HEADER:
            at += left
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        record += content[at + CHUNK_HEADER : at + CHUNK_HEADER + length]
        at += CHUNK_HEADER + length
        if kind in LAST_CHUNKS:
            yield record
            record = b""
