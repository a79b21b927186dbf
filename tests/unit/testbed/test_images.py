"""Building images, as far as it can be told without building one."""

from pathlib import Path

import pytest

from testbed import images
from testbed.errors import BedError


@pytest.mark.parametrize("tag", ["model-server:bed", "localhost/model-server", "localhost/../x:y", "localhost/a b:c"])
def test_only_local_names_with_a_version(tag: str, tmp_path: Path) -> None:
    with pytest.raises(BedError, match="is no tag"):
        images.build(tmp_path / "Dockerfile", tmp_path, tag)


def test_an_image_that_is_not_ours_is_named() -> None:
    with pytest.raises(BedError, match=r"there is no .*hack/images/nothing/Dockerfile"):
        images.build_ours("nothing")


def test_a_build_reaches_the_package_index_as_this_machine_does(monkeypatch: pytest.MonkeyPatch) -> None:
    config = (
        ":env:.index-url='https://from-environment/'\nglobal.index-url='https://from-file/'\nglobal.find-links='/x'\n"
    )
    monkeypatch.setattr(images, "_pip_config", lambda: config)
    settings = images._pip_settings().splitlines()
    assert settings[0] == "[global]"
    assert "index-url = https://from-environment/" in settings
    assert not any("from-file" in line or "find-links" in line for line in settings)
