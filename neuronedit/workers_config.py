"""Settings of the workers that train, apart from the jobs' settings: every worker reads them, and no others."""

from pydantic import Field, PositiveInt

from neuronedit.config import Config


class WorkersConfig(Config):
    """Number, devices, checkpoints and restarts of Ray Train's workers."""

    count: PositiveInt = Field(
        1, description="processes that share each minibatch; one per GPU, or few: the model is small"
    )
    use_gpu: bool = Field(False, description="give each worker a GPU")
    storage: str | None = Field(
        None,
        description="folder or URI that all nodes reach, for checkpoints, by which the same command goes on where it "
        "was stopped; by default $XDG_CACHE_HOME/neuronedit/training or ~/.cache/neuronedit/training, for one node",
    )
    checkpoint_epochs: PositiveInt | None = Field(None, description="write a checkpoint every so many epochs")
    checkpoint_seconds: float = Field(
        60.0, gt=0, description="write a checkpoint at the end of an epoch if the last is so many seconds old"
    )
    checkpoints_kept: PositiveInt = Field(
        2, description="the newest so many; where the last is damaged, training goes on from the one before"
    )
    max_failures: int = Field(
        3, ge=0, description="how often workers that died are started again, from the last checkpoint"
    )
