"""A scene for each story."""

import pytest

from unit.controller.scene import Scene


@pytest.fixture
async def scene() -> Scene:
    scene = Scene()
    await scene.operator.start()
    return scene
