"""LeNet-5: parameters, shapes and names."""

import pytest

import minigrad as mg
from minigrad import models, nn


def test_parameters_and_keys():
    state = models.lenet5().state_dict()
    assert {name: value.shape for name, value in state.items()} == {
        "features.0.weight": (6, 1, 5, 5),
        "features.0.bias": (6,),
        "features.3.weight": (16, 6, 5, 5),
        "features.3.bias": (16,),
        "classifier.1.weight": (120, 400),
        "classifier.1.bias": (120,),
        "classifier.3.weight": (84, 120),
        "classifier.3.bias": (84,),
        "classifier.5.weight": (10, 84),
        "classifier.5.bias": (10,),
    }
    assert sum(value.size for value in state.values()) == 61_706


def test_shapes():
    net = models.lenet5(num_classes=7)
    x = mg.zeros((2, 1, 28, 28))
    shapes = []
    for layer in (*net.features, *net.classifier):
        x = layer(x)
        shapes.append(x.shape[1:])
    assert shapes == [
        (6, 28, 28),
        (6, 28, 28),
        (6, 14, 14),
        (16, 10, 10),
        (16, 10, 10),
        (16, 5, 5),
        (400,),
        (120,),
        (120,),
        (84,),
        (84,),
        (7,),
    ]
    assert isinstance(net, models.LeNet5)


def test_an_image_of_the_wrong_size_says_where_it_fails():
    with pytest.raises(ValueError, match="Linear expects 400 features, got 576") as caught:
        models.lenet5()(mg.zeros((4, 1, 32, 32)))
    assert caught.value.__notes__ == [
        "in classifier.1: Linear(in_features=400, out_features=120, bias=True), input (4, 576)",
        "the shapes on the way:\n"
        "  features.0: Conv2d (4, 1, 32, 32) -> (4, 6, 32, 32), (32 + 2*2 - 5)/1 + 1 = 32\n"
        "  features.1: Tanh (4, 6, 32, 32) -> (4, 6, 32, 32)\n"
        "  features.2: AvgPool2d (4, 6, 32, 32) -> (4, 6, 16, 16), (32 - 2)/2 + 1 = 16\n"
        "  features.3: Conv2d (4, 6, 16, 16) -> (4, 16, 12, 12), (16 - 5)/1 + 1 = 12\n"
        "  features.4: Tanh (4, 16, 12, 12) -> (4, 16, 12, 12)\n"
        "  features.5: AvgPool2d (4, 16, 12, 12) -> (4, 16, 6, 6), (12 - 2)/2 + 1 = 6\n"
        "  classifier.0: Flatten (4, 16, 6, 6) -> (4, 576)",
    ]


def test_weights_follow_the_seed():
    def weights():
        mg.manual_seed(3)
        return [p.tolist() for p in models.lenet5().parameters()]

    assert weights() == weights()


def test_every_parameter_gets_a_gradient():
    net = models.lenet5()
    nn.CrossEntropyLoss()(net(mg.randn(3, 1, 28, 28)), mg.tensor([0, 1, 2])).backward()
    assert all(abs(p.grad.numpy()).max() > 0 for p in net.parameters())
