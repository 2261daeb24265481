import numpy as np
import pytest
import torch

from neuronedit.autoencoder import Architecture, Autoencoder
from neuronedit.errors import ConfigError


def test_layers_are_named_from_the_markers_to_the_last_hidden_layer() -> None:
    assert Architecture(hidden=(8, 6), code=3).layer_names == (
        "visible",
        "encoder.1",
        "encoder.2",
        "code",
        "decoder.1",
        "decoder.2",
    )


def test_encoding_and_decoding_at_any_layer_compose_to_the_network(autoencoder: Autoencoder) -> None:
    events = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    for layer in autoencoder.layer_names[1:]:
        torch.testing.assert_close(autoencoder.decode(autoencoder.encode(events, layer), layer), autoencoder(events))


def test_the_visible_layer_is_the_markers_themselves(autoencoder: Autoencoder) -> None:
    events = torch.randn(3, 5)
    assert torch.equal(autoencoder.decode(autoencoder.encode(events, "visible"), "visible"), events)


def test_the_network_agrees_with_its_formula_written_out(autoencoder: Autoencoder) -> None:
    events = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    weights = [array.numpy() for array in autoencoder.state_dict().values()]
    value = events
    for index in range(6):
        value = value @ weights[2 * index].T + weights[2 * index + 1]
        if index not in (2, 5):  # the code and the output are linear
            value = np.where(value > 0, value, 0.2 * value)
    np.testing.assert_allclose(autoencoder(torch.from_numpy(events)).numpy(), value, atol=1e-5)  # order of sums


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second, other = (Autoencoder(5, Architecture(), seed).state_dict()["layers.0.weight"] for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_an_unknown_layer_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no layer 'encoder\.9' \(layers: 'visible', .*nearest name 'encoder\.[12]'"):
        Architecture().check_layer("encoder.9")
