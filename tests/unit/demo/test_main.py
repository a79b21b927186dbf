"""The demo ends in words, whatever goes wrong."""

import httpx
import pytest

from demo import __main__ as demo
from stack import NotReachedError
from testbed import BedError


@pytest.mark.parametrize("kind", [BedError, NotReachedError, RuntimeError, httpx.ConnectError])
def test_what_went_wrong_is_said(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tell(_: object) -> bool:
        raise kind("the sender failed: [/tmp]")

    monkeypatch.setattr(demo, "tell", tell)
    assert demo.main() == 1
    assert "failed: the sender failed: [/tmp]" in capsys.readouterr().out
