"""The noise-space picture: where steering moved the initial noise, in the two directions that show most of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from expertgen.errors import FileError
from expertgen.runs.files import read_json, write_json


@dataclass(frozen=True)
class NoisePicture:
    """Noise of many decisions, projected on two orthonormal axes.

    The axes are orthonormal, so N(0, I) is the standard normal distribution in the picture, too, whatever the
    dimension.

    Attributes:
        steered: float `[M, 2]`, noise the expert chose.
        success: bool `[M]`, whether the episode it was chosen in ended in success.
        share: float `[2]`, share of the steered noise's mean square length that each axis shows.
        dimension: of the whole noise, `H · A`.
        bound: noise is chosen within ± this, in each dimension.
    """

    steered: np.ndarray
    success: np.ndarray
    share: np.ndarray
    dimension: int
    bound: float

    @classmethod
    def project(cls, noise: np.ndarray, success: np.ndarray, bound: float) -> NoisePicture:
        """Projects noise on its two leading directions, measured from the origin.

        From the origin and not from the mean, so that both a shift and a change of spread against N(0, I) are seen.

        Args:
            noise: `[M, ...]`, at least two decisions; the trailing dimensions are flattened.
            success: bool `[M]`, outcome of each decision's episode.
            bound: the noise bound.
        """
        flat = noise.reshape(len(noise), -1).astype(np.float64)
        _, singular, axes = np.linalg.svd(flat, full_matrices=False)
        # A singular vector's sign is arbitrary; the larger side is made positive, so that the picture is the same
        # anywhere.
        axes = axes[:2] * np.where((flat @ axes[:2].T).sum(axis=0) < 0, -1.0, 1.0)[:, None]
        share = singular[:2] ** 2 / np.sum(singular**2)
        return cls(flat @ axes.T, np.asarray(success, bool), share, flat.shape[1], bound)

    def inside(self, radius: float) -> float:
        """Share of the steered noise within a distance of the origin; of N(0, I) it is `1 - exp(-radius² / 2)`."""
        return float(np.mean(np.linalg.norm(self.steered, axis=1) < radius))

    def save(self, path: Path) -> None:
        """Writes the picture as JSON, atomically, rounded to three decimals."""
        write_json(
            path,
            {
                "dimension": self.dimension,
                "bound": self.bound,
                "share": self.share.round(4).tolist(),
                "success": self.success.tolist(),
                "steered": self.steered.round(3).tolist(),
            },
        )

    @classmethod
    def load(cls, path: Path) -> NoisePicture:
        """Reads what `save` wrote.

        Raises:
            FileError: if the file is missing, broken or of another form.
        """
        value = read_json(path)
        try:
            steered, success = np.array(value["steered"], float), np.array(value["success"], bool)
            share, dimension, bound = np.array(value["share"], float), int(value["dimension"]), float(value["bound"])
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(f"{path} is not a noise picture ({error!r}); delete it to leave it out") from error
        if steered.shape != (success.size, 2) or share.shape != (2,):
            raise FileError(f"{path}: {list(steered.shape)} points do not fit {success.size} outcomes; delete it")
        return cls(steered, success, share, dimension, bound)
