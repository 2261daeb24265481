"""Promote a version: ``python jobs/promote.py NAME VERSION --alias champion [--override "reason"]``."""

from neuronedit.adapters.promotion import promote
from neuronedit.adapters.tracking import use_store
from neuronedit.command import JobCommand
from neuronedit.registry_configs import PromoteConfig
from neuronedit.review.acceptance import listed


def job(config: PromoteConfig) -> int:
    """Give an alias to a version that has passed its review, or that you answer for; an older one to go back."""
    use_store(config.tracking)
    done = promote(config)
    print(f"models:/{config.name}: {done.move.sentence}")
    if done.overridden:
        print(f"although these gates do not stand: {listed(done.overridden)}")
    return 0


main = JobCommand("promote", PromoteConfig, job, positional=("name", "version"))


if __name__ == "__main__":
    raise SystemExit(main())
