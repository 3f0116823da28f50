"""Films: H.264 in MP4, which browsers and data loaders read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from expertgen.errors import UsageError
from expertgen.runs.files import atomic_path

_OPTIONS = ("-crf", "23", "-threads", "1", "-movflags", "+faststart", "-f", "mp4")


@contextmanager
def video(
    path: Path, width: int, height: int, rate: float, *options: str
) -> Iterator[Callable[[UInt8[np.ndarray, "height width 3"]], None]]:
    """Yields what appends a picture (sRGB) to a film; when the block ends well, the film is there, atomically.

    Args:
        path: the file.
        width: columns [pixels], even.
        height: rows [pixels], even.
        rate: pictures per second.
        options: more options for ffmpeg.

    Raises:
        UsageError: if the extra `vision` is not installed.
        TrainingError: if not all of it can be read back, because the disk is full, say; there is no file then.
    """
    ffmpeg, number = _ffmpeg(), 0

    def append(picture: np.ndarray) -> None:
        nonlocal number
        number += 1
        # ffmpeg can fail without a word, so what counts is what can be read back.
        with suppress(OSError):
            writer.send(np.ascontiguousarray(picture))

    with atomic_path(path) as temporary:
        writer = ffmpeg.write_frames(
            str(temporary),
            (width, height),
            fps=rate,
            quality=None,
            macro_block_size=1,  # pictures keep their size
            ffmpeg_log_level="quiet",
            output_params=[*_OPTIONS, *options],
        )
        writer.send(None)
        try:
            yield append
        finally:
            writer.close()
        if (readable := _readable(temporary)) != number:
            raise OSError(f"of {number} frames {readable} can be read back")


def _readable(path: Path) -> int:
    """How many pictures of a film can be read back."""
    reader, number = _ffmpeg().read_frames(str(path)), 0
    with suppress(OSError, RuntimeError):
        next(reader)  # a description comes first
        for _ in reader:
            number += 1
    return number


def _ffmpeg() -> Any:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UsageError("films need imageio-ffmpeg: pip install 'expertgen[vision]'") from error
    return imageio_ffmpeg
