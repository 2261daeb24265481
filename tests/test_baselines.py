import numpy as np
import torch

from neuronedit.baselines import latent_arithmetic, mean_shift, quantile_map
from neuronedit.model import EditModel
from tests.known_cells import intensities


def gaussians() -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32)
    return source, (source * 2 + 1).astype(np.float32)


def test_the_mean_shift_moves_means_and_nothing_else() -> None:
    source, target = gaussians()
    moved = mean_shift(source, target, source)
    np.testing.assert_allclose(moved.mean(axis=0), target.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(moved.std(axis=0), source.std(axis=0), rtol=1e-5)


def test_the_quantile_map_finds_a_monotone_map() -> None:
    source, target = gaussians()
    np.testing.assert_allclose(quantile_map(source, target, source), target, atol=0.05)  # between percentiles a line


def test_latent_arithmetic_adds_the_difference_of_the_mean_codes(model: EditModel) -> None:
    source, target, events = (model.scaling.arcsinh(intensities(200, seed)) for seed in range(3))
    with torch.inference_mode():
        codes = [
            model.autoencoder.encode(torch.from_numpy(model.scaling.standardise(x)), "code")
            for x in (source, target, events)
        ]
        moved = codes[2] + (codes[1].mean(dim=0) - codes[0].mean(dim=0))
        expected = model.scaling.unstandardise(model.autoencoder.decode(moved, "code").numpy())
    np.testing.assert_allclose(latent_arithmetic(model, source, target, events), expected, atol=1e-4)
