"""What the twin will not train is refused before any training, by name and place."""

import numpy as np
import pytest

from tflite_models.errors import ModelError, UnsupportedModel


def conv(net, kernel=(2, 3, 3, 1), to=(4, 4, 2), **options):
    defaults = {
        "stride_h": 1,
        "stride_w": 1,
        "dilation_h": 1,
        "dilation_w": 1,
        "padding": "SAME",
        "activation": "NONE",
    }
    return net.add("CONV_2D", net.constant(np.ones(kernel)), to=to, **(defaults | options))


def mean(net, axes, to):
    net.add("MEAN", net.constant(axes, np.int32, scale=None), to=to, keep_dims=False)


def test_an_unknown_operator_is_named_with_its_index_and_tensors(sketch):
    net = sketch(3)
    net.dense(np.ones((2, 3)))
    net.add("TANH", to=(2,))
    with pytest.raises(UnsupportedModel, match=r"operator 1 TANH \('t1', 't3'\)") as refused:
        net.twin()
    error = refused.value
    assert (error.operator, error.index, error.tensors) == ("TANH", 1, ("t1", "t3"))
    assert "FULLY_CONNECTED" in str(error)  # says what is known


def test_a_softmax_is_refused_anywhere_but_at_the_end(sketch):
    net = sketch(3)
    net.add("SOFTMAX", to=(3,), beta=1.0)
    net.dense(np.ones((2, 3)))
    with pytest.raises(UnsupportedModel, match=r"operator 0 SOFTMAX .*only as the last operator"):
        net.twin()


REFUSED = {
    "dilation": (
        lambda net: conv(net, dilation_h=2),
        r"operator 0 CONV_2D .*dilation_h 2: 1 is allowed",
    ),
    "groups": (
        lambda net: conv(net, kernel=(2, 3, 3, 3)),
        r"CONV_2D .*3 channels a filter of 1",
    ),
    "another output than the geometry gives": (
        lambda net: conv(net, padding="VALID"),
        r"output of shape \(4, 4, 2\), where the inputs give \(2, 2, 2\)",
    ),
    "a filter larger than the sample": (
        lambda net: conv(net, kernel=(2, 5, 5, 1), to=(0, 0, 2), padding="VALID"),
        r"output of shape \(0, 0, 2\)",
    ),
    "an activation": (
        lambda net: conv(net, activation="TANH"),
        r"activation TANH: allowed are NONE, RELU, RELU6",
    ),
    "softmax with a temperature": (
        lambda net: net.add("SOFTMAX", to=(4, 4, 1), beta=2.0),
        r"SOFTMAX .*beta 2.0: 1 is allowed",
    ),
    "a mean over channels": (
        lambda net: mean(net, [3], (4, 4)),
        r"axes \[3\]: height and width",
    ),
    "an addition that broadcasts": (
        lambda net: net.add("ADD", net.activation(1, 1, 1), to=(4, 4, 1), activation="NONE"),
        r"shapes \(4, 4, 1\) and \(1, 1, 1\): they must be equal",
    ),
    "a constant that is added": (
        lambda net: net.add(
            "ADD", net.constant(np.ones((1, 4, 4, 1))), to=(4, 4, 1), activation="NONE"
        ),
        r"input 1 is a constant",
    ),
    "weights that another layer computes": (
        lambda net: net.add(
            "FULLY_CONNECTED", net.activation(2), to=(2,), activation="NONE", keep_num_dims=False
        ),
        r"tensor 1 is not among the parameters",
    ),
    "a pool over something that is not an image": (
        lambda net: net.add(
            "MAX_POOL_2D",
            x=net.add("RESHAPE", to=(16,)),
            to=(4,),
            filter_h=2,
            filter_w=2,
            stride_h=2,
            stride_w=2,
            padding="VALID",
            activation="NONE",
        ),
        r"operator 1 MAX_POOL_2D .*input of shape \(16,\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(sketch, case):
    make, message = REFUSED[case]
    net = sketch(4, 4, 1)
    make(net)
    with pytest.raises(UnsupportedModel, match=message):
        net.twin()


def test_a_tensor_that_is_not_int8_is_refused_by_name(sketch):
    net = sketch(2)
    net.dense(np.ones((2, 2)), to=net.activation(2, dtype=np.int16))
    with pytest.raises(ModelError, match=r"tensor 't1': int16: int8 with one scale, or float32"):
        net.twin()


def test_a_fixed_batch_is_refused(sketch):
    net = sketch(2)
    net.source = net.last = net._tensor((4, 2), np.int8, 1.0)
    net.dense(np.ones((2, 2)))
    with pytest.raises(ModelError, match=r"shape \(4, 2\): a batch of 1 is allowed"):
        net.twin()
