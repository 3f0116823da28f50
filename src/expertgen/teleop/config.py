"""How a server works, as a user may choose it."""

from __future__ import annotations

from dataclasses import dataclass

from expertgen.errors import UsageError
from expertgen.teleop.pictures import Renderer
from expertgen.teleop.protocol import PACES


@dataclass(frozen=True)
class TeleopConfig:
    """How a server works.

    Attributes:
        episodes: how many episodes are wanted; the page counts towards it.
        pace: how fast the simulation runs at first, as a share of real time.
        renderer: how pictures are drawn.
        host: address to listen on.
        port: port to listen on; 0 is any that is free.
    """

    episodes: int = 20
    pace: float = 0.25
    renderer: Renderer = "rays"
    host: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        if self.pace not in PACES:
            raise UsageError(f"pace must be one of {', '.join(f'{pace:g}' for pace in PACES)}, not {self.pace:g}")
        if self.episodes < 1:
            raise UsageError(f"episodes must be at least 1, not {self.episodes}")
        if not 0 <= self.port < 1 << 16:
            raise UsageError(f"port must lie between 0 and 65535, not {self.port}")
