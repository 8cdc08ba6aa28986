"""Films of episodes side by side, with the task, the time and the return on every frame, as MP4 or animated GIF."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from tasks.errors import UserError
from tasks.spec import TaskFamily

ENDINGS = (".mp4", ".gif")
"""Of films: MP4 needs an encoder, GIF nothing."""

FASTEST, SLOWEST = 0.02, 0.25
"""Seconds that a frame is seen: viewers slow down a faster GIF, and a step of a point takes a whole second."""

INK, PAPER = (31, 35, 40), (255, 255, 255)
LETTERS, MARGIN, GAP = 14, 8, 4
"""Pixels: of the text's size, around it, and between two episodes."""

MOST_VALUES = 8
"""Of a parameter, that are written out."""


class Episode(NamedTuple):
    """What a film shows of an episode: its name, images (step + 1), (height, width, 3), and rewards, (step,)."""

    name: str
    images: Sequence[np.ndarray]
    rewards: np.ndarray


def encoder() -> str | None:
    """The program that encodes MP4: `ffmpeg` on the path, or that of the package imageio-ffmpeg; None without one."""
    if path := shutil.which("ffmpeg"):
        return path
    try:
        import imageio_ffmpeg
    except ImportError:
        return None
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def require_writable(path: Path) -> None:
    """Refuse a film that cannot be written here, by its ending.

    Raises:
        UserError: the ending is none of `ENDINGS`, or needs an encoder that is not here.
    """
    if path.suffix not in ENDINGS:
        raise UserError(f"{path}: films are written as .mp4 or .gif, by the ending of their name")
    if path.suffix == ".mp4" and encoder() is None:
        raise UserError(
            f"{path}: .mp4 needs an encoder, which is not here: install ffmpeg or `pip install 'offmap[video]'`, or "
            f"give {path.with_suffix('.gif').name}"
        )


def task_words(family: TaskFamily, values: Sequence[float]) -> str:
    """A task in words: each parameter with its unit, the values of a long one only counted."""
    words, start = [], 0
    for parameter in family.parameters:
        part = values[start : start + parameter.size]
        start += parameter.size
        name, unit = parameter.name.replace("_", " "), f" {parameter.unit}" if parameter.unit else ""
        shown = " ".join(f"{value:.4g}" for value in part)
        words.append(f"{name} {shown}{unit}" if len(part) <= MOST_VALUES else f"{name} ({len(part)} values)")
    return ", ".join(words)


def frames(episodes: Sequence[Episode], title: str, dt: float) -> Iterator[np.ndarray]:
    """The frames of a film, (height, width, 3): episodes side by side, each staying where it ended.

    Args:
        episodes: Of images of one size.
        title: Above all of them; broken where it is too long.
        dt: Seconds of simulated time per step.
    """
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), LETTERS)
    height, width = episodes[0].images[0].shape[:2]
    whole = len(episodes) * (width + GAP) - GAP
    lines = _broken(title, font, whole - 2 * MARGIN)
    line = round(1.4 * LETTERS)
    top = MARGIN + len(lines) * line
    size = tuple(pixels + pixels % 2 for pixels in (whole, top + 2 * line + MARGIN + height))  # encoders want even ones
    for step in range(max(len(episode.images) for episode in episodes)):
        frame = Image.new("RGB", size, PAPER)
        pen = ImageDraw.Draw(frame)
        for number, text in enumerate(lines):
            pen.text((MARGIN, MARGIN + number * line), text, INK, font)
        for place, episode in enumerate(episodes):
            left, at = place * (width + GAP), min(step, len(episode.rewards))
            pen.text((left + MARGIN, top), episode.name, INK, font)
            pen.text((left + MARGIN, top + line), _state(episode, at, dt), INK, font)
            frame.paste(Image.fromarray(episode.images[at]), (left, top + 2 * line + MARGIN))
        yield np.asarray(frame)


def _state(episode: Episode, step: int, dt: float) -> str:
    """The time and the return so far."""
    so_far = float(episode.rewards[:step].sum(dtype=np.float64))
    return f"{step * dt:.2f} s, return {so_far:,.1f}".replace("-", "\u2212")


def _broken(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Text in lines of at most so many pixels, broken between words."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def write_film(images: Sequence[np.ndarray], dt: float, path: Path) -> Path:
    """The path of a film of frames, (height, width, 3), in real time where viewers can follow.

    Args:
        images: Of one size.
        dt: Seconds of simulated time per frame.
        path: What its ending says (`ENDINGS`); the folder is made.

    Raises:
        UserError: it cannot be written here (`require_writable`), or the encoder failed.
    """
    require_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    seconds = min(max(dt, FASTEST), SLOWEST)
    if path.suffix == ".mp4":
        _encode(images, seconds, path)
    else:
        first, *others = [Image.fromarray(image) for image in images]
        first.save(path, save_all=True, append_images=others, duration=round(1000 * seconds), loop=0)
    return path


def _encode(images: Sequence[np.ndarray], seconds: float, path: Path) -> None:
    """Have the encoder make H.264 of the frames, which browsers and slides show.

    Raises:
        UserError: it failed; the message holds its last line.
    """
    height, width = images[0].shape[:2]
    read = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{1 / seconds:.6g}", "-i", "-"]
    written = ["-an", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)]
    command = [str(encoder()), "-y", "-loglevel", "error", *read, *written]
    done = subprocess.run(
        command, input=b"".join(image.tobytes() for image in images), capture_output=True, check=False
    )
    if done.returncode != 0:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"{path}: the encoder {command[0]} failed ({last}); give {path.with_suffix('.gif').name}")
