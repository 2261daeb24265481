import numpy as np
import pytest
import torch

from neuronedit.errors import ConfigError
from neuronedit.network.autoencoder import CODE, VISIBLE, Architecture, Autoencoder


@pytest.fixture
def markers(rng):
    return torch.from_numpy(rng.normal(size=(6, 5)).astype(np.float32))


def test_layers_are_named_in_the_order_of_computation(autoencoder):
    assert autoencoder.layer_names == (
        "visible",
        "encoder.1",
        "encoder.2",
        "code",
        "decoder.1",
        "decoder.2",
    )
    assert [autoencoder.depth(name) for name in autoencoder.layer_names] == [0, 1, 2, 3, 4, 5]


def test_each_layer_has_its_width(autoencoder, markers):
    widths = [autoencoder.encode(markers, name).shape[1] for name in autoencoder.layer_names]
    assert widths == [5, 8, 6, 3, 6, 8]


def test_the_network_is_the_formula_written_out(markers):
    network = Autoencoder(5, Architecture(hidden=(4,), code=2), seed=0)
    first, code, back, output = network.layers

    def leaky(values):
        return torch.where(values > 0, values, 0.2 * values)

    encoded = code(leaky(first(markers)))  # the code is linear
    assert torch.equal(network.encode(markers, CODE), encoded)
    assert torch.equal(network(markers), output(leaky(back(encoded))))  # and so is the output


def test_decoding_any_inner_layer_gives_the_same_reconstruction(autoencoder, markers):
    for name in autoencoder.layer_names[1:]:
        assert torch.equal(autoencoder.decode(autoencoder.encode(markers, name), name), autoencoder(markers))


def test_the_visible_layer_is_the_markers_themselves(autoencoder, markers):
    assert torch.equal(autoencoder.encode(markers, VISIBLE), markers)
    assert torch.equal(autoencoder.decode(markers, VISIBLE), markers)


def test_a_network_without_hidden_layers_is_linear(markers):
    network = Autoencoder(5, Architecture(hidden=(), code=2), seed=0)
    assert network.layer_names == ("visible", "code")
    # Linear, biases zero at the start; two roundings of float32.
    torch.testing.assert_close(network(2 * markers), 2 * network(markers))


def test_the_seed_alone_decides_the_initial_weights():
    torch.manual_seed(1)
    first = Autoencoder(5, Architecture(), seed=3).state_dict()
    torch.manual_seed(2)
    second = Autoencoder(5, Architecture(), seed=3).state_dict()
    other = Autoencoder(5, Architecture(), seed=4).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["layers.0.weight"], other["layers.0.weight"])


def test_an_unknown_layer_is_named_with_the_nearest(autoencoder):
    with pytest.raises(ConfigError, match=r"no layer 'encoder1' \(layers: 'visible', .*; nearest name 'encoder.1'\)"):
        autoencoder.depth("encoder1")
