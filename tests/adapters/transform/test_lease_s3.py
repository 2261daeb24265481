"""On an object store a move is a copy: a driver that comes back copies nothing over the next one's output."""

import pytest

from neuronedit.adapters.files.storage import locate
from neuronedit.adapters.transform import lease as module
from neuronedit.adapters.transform.lease import Lease, lease
from neuronedit.errors import OutputError
from tests.adapters.transform.test_lease import PART, TAKEN_OVER
from tests.s3_server import Bucket

pytestmark = pytest.mark.s3


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that drivers waited."""
    seconds: list[float] = []
    monkeypatch.setattr(module, "sleep", seconds.append)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_SIGNS", 600)
    return seconds


def take_over(held: Lease, bucket: Bucket) -> None:
    """What another driver does to a lease that it takes for gone."""
    held.place.delete()
    folder = locate(bucket.uri("edited"))
    with lease(folder) as second:
        second.write(folder / "a", b"second")


@pytest.mark.parametrize("amid", ["before the copy", "before the look at the lease"])
def test_a_driver_that_comes_back_amid_a_move_does_not_copy_over_the_next_ones(
    s3: Bucket, monkeypatch: pytest.MonkeyPatch, waited: list[float], amid: str
) -> None:
    move, check = module.move, Lease.check

    def paused(*arguments: object) -> None:
        monkeypatch.setattr(module, "move", move)
        monkeypatch.setattr(Lease, "check", check)
        take_over(held, s3)
        (move if amid == "before the copy" else check)(*arguments)  # type: ignore[operator]

    folder = locate(s3.uri("edited"))
    with lease(folder) as held:
        held.write(folder / "b", b"first")
        if amid == "before the copy":
            monkeypatch.setattr(module, "move", paused)
        else:
            monkeypatch.setattr(Lease, "check", paused)
        with pytest.raises(OutputError, match=TAKEN_OVER):
            held.write(folder / "a", b"first")
    assert s3.keys("edited/") == ["edited/a", "edited/b"]
    assert s3.get("edited/a") == b"second"
    assert waited == [module.COPY_SECONDS], "for a copy that the storage may have begun"


def test_nothing_is_waited_for_where_nothing_was_staged(s3: Bucket, waited: list[float]) -> None:
    s3.put("edited/a", b"")
    with lease(locate(s3.uri("edited"))) as held:
        held.check()
    s3.put(f"edited/.a.{PART}", b"")
    with lease(locate(s3.uri("edited"))):
        assert s3.keys("edited/.") == []
    assert waited == [module.COPY_SECONDS]
