"""Promote a version: ``python jobs/promote.py NAME VERSION --alias champion [--override "reason"]``."""

from pydantic import Field

from neuronedit.adapters.cluster.command import JobCommand
from neuronedit.adapters.registry.promotion import promote
from neuronedit.adapters.registry.runs import TrackingConfig, use_store
from neuronedit.config import Config


class PromoteConfig(Config):
    """Give an alias to a version that has passed its review, or that you answer for."""

    name: str = Field(pattern=r"^[^/:@]+$", description="the registered model's name")
    version: str = Field(pattern=r"^[0-9]{1,18}$", description="the version's number; an older one to go back")
    alias: str = Field(
        "champion", pattern=r"^[\w-]+$", description="the alias to move, e.g. the one that transforms ask for"
    )
    override: str | None = Field(
        None,
        pattern=r"\S",
        description="why the version may be used although gates failed or were not measured; recorded with your name",
    )
    tracking: TrackingConfig = Field(TrackingConfig(), description="where the model is registered")


def job(config: PromoteConfig) -> int:
    """Give an alias to a version that has passed its review, or that you answer for; an older one to go back."""
    use_store(config.tracking)
    done = promote(config.name, config.version, config.alias, config.override)
    print(f"models:/{config.name}: {done.move.sentence}")
    print("\n".join(f"gate {name}: {text}" for name, text in done.gates.items()))
    if done.overridden:
        print(f"Promoted although these do not stand: {', '.join(done.overridden)}")
    return 0


main = JobCommand("promote", PromoteConfig, job, positional=("name", "version"))


if __name__ == "__main__":
    raise SystemExit(main())
