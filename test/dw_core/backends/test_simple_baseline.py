import numpy as np
import pytest
import torch

from dw_core.backends.simple_baseline import Bottleneck, SimpleBaseline, load_simple_baseline, normalise
from dw_core.errors import AssetError

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return SimpleBaseline(20).eval()


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "plain.pth"
    torch.save(network.state_dict(), path)
    return path


def test_parameter_count_is_the_papers(network):
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 3) == 68.636


def test_parameters_are_named_as_in_public_checkpoints(network):
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    expected = {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_var": (64,),
        "layer1.0.conv1.weight": (64, 64, 1, 1),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.0.downsample.1.running_mean": (256,),
        "layer2.7.bn3.bias": (512,),
        "layer3.35.conv2.weight": (256, 256, 3, 3),
        "layer4.2.conv3.weight": (2048, 512, 1, 1),
        "deconv_layers.0.weight": (2048, 256, 4, 4),
        "deconv_layers.1.weight": (256,),
        "deconv_layers.6.weight": (256, 256, 4, 4),
        "final_layer.weight": (20, 256, 1, 1),
        "final_layer.bias": (20,),
    }
    assert {name: shapes.get(name) for name in expected} == expected
    assert {name.split(".")[0] for name in shapes} == {
        "conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "deconv_layers", "final_layer"
    }  # fmt: skip


def test_a_quarter_of_the_image_size(network):
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 20, 16, 16)


def test_a_bottleneck_is_three_convolutions_around_a_shortcut():
    torch.manual_seed(1)
    block = Bottleneck(8, 4, 2).eval()
    x = torch.randn(1, 8, 6, 6)
    weight = {name: value for name, value in block.state_dict().items() if value.ndim == 4}
    scale = 1 / np.sqrt(1 + 1e-5)  # of a batch normalisation that has seen nothing
    y = torch.conv2d(x, weight["conv1.weight"]).relu() * scale
    y = torch.conv2d(y, weight["conv2.weight"], stride=2, padding=1).relu() * scale
    y = torch.conv2d(y, weight["conv3.weight"]) * scale
    expected = (y + torch.conv2d(x, weight["downsample.0.weight"], stride=2) * scale).relu()
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)


def test_images_are_normalised_as_for_imagenet():
    image = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3), dtype=np.uint8)
    expected = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    found = normalise(torch.from_numpy(image))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected.transpose(0, 3, 1, 2), rtol=0, atol=1e-6)


def test_weights_come_back_from_every_form_of_checkpoint(network, file, tmp_path):
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = network(image)
        torch.testing.assert_close(load_simple_baseline(file, 20)(image), expected)
        wrapped = {f"module.{name}": value for name, value in network.state_dict().items()}
        torch.save({"epoch": 1, "state_dict": wrapped}, tmp_path / "wrapped.pth")
        torch.testing.assert_close(load_simple_baseline(tmp_path / "wrapped.pth", 20)(image), expected)


def test_other_files_are_refused(file, tmp_path):
    with pytest.raises(AssetError, match="none.pth do not exist"):
        load_simple_baseline(tmp_path / "none.pth", 20)
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(AssetError, match="text.pth cannot be read"):
        load_simple_baseline(tmp_path / "text.pth", 20)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(AssetError, match="hold a list, expected a state dict"):
        load_simple_baseline(tmp_path / "list.pth", 20)
    with pytest.raises(AssetError, match="not those of ResNet-152 with 17 joints: .*final_layer"):
        load_simple_baseline(file, 17)
