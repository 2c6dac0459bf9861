"""The [model], [prune] and [quantize] sections of an experiment.  Imports no TensorFlow."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

ARCHITECTURES = ("mlp", "cnn", "cnn1d", "dscnn")

_OWN = r"keras:[A-Za-z_][\w.]*:[A-Za-z_]\w*"
Architecture = Annotated[str, StringConstraints(pattern=rf"^({'|'.join(ARCHITECTURES)}|{_OWN})$")]


class ModelSettings(BaseModel):
    """The network, and how its float baseline is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: Architecture = Field(
        "cnn",
        description="mlp, cnn (images), cnn1d (windows of signals), dscnn (depthwise separable, "
        "for spectrograms), or keras:module:function for a function(input_shape, classes) of "
        "your own that returns a tf_keras model ending in logits",
    )
    width: int = Field(
        16, ge=1, le=4096, description="units or channels of the first layer; the size follows"
    )
    dropout: float = Field(
        0.2, ge=0, lt=1, description="share of the last features dropped while training"
    )
    epochs: int = Field(60, ge=1, le=10_000, description="passes over the data for the baseline")
    batch: int = Field(32, ge=1, le=65_536, description="samples in one step, in every stage")
    learning_rate: float = Field(
        3e-3, gt=0, le=10, description="of the baseline: AdamW, from here to 0 on half a cosine"
    )
    weight_decay: float = Field(1e-4, ge=0, le=1, description="of AdamW, in every stage")
    noise: float = Field(
        0.0, ge=0, le=10, description="augmentation: standard deviation added to the inputs"
    )
    scale: float = Field(
        0.0, ge=0, le=1, description="augmentation: standard deviation of a factor on each sample"
    )
    shift: int = Field(
        0,
        ge=0,
        le=1000,
        description="augmentation: most pixels or time steps that a batch is moved, edges repeated",
    )
    rotation: float = Field(
        0.0,
        ge=0,
        le=90,
        description="augmentation: degrees by which samples of three-axis sensors are turned at "
        "random around each axis",
    )
    central: bool = Field(
        False,
        description="also train the same network on the factory's and all devices' data, "
        "as the reference that federated training is measured against",
    )


class PruneSettings(BaseModel):
    """Magnitude pruning of the baseline's kernels on a polynomial schedule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sparsity: float = Field(
        0.5, ge=0, le=0.98, description="share of zeros over all pruned kernels; 0 prunes nothing"
    )
    epochs: int = Field(20, ge=1, le=10_000, description="passes: zeros are made in the first 60 %")
    learning_rate: float = Field(2e-3, gt=0, le=10, description="as in [model]")
    depthwise: bool = Field(
        False, description="prune depthwise kernels too: few bytes, dear to accuracy"
    )


class QuantizeSettings(BaseModel):
    """Quantisation-aware fine-tuning that keeps the zeros, then the int8 file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(10, ge=1, le=10_000, description="passes over the data")
    learning_rate: float = Field(5e-4, gt=0, le=10, description="as in [model]")
    compare: bool = Field(
        True, description="also show plain quantisation-aware training, which loses the zeros"
    )
