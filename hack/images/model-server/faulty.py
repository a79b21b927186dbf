"""A model that goes wrong as often as it is told to: FAILING and SLOW are shares of requests."""

import asyncio
import os
import random

from mlserver.types import InferenceRequest, InferenceResponse
from mlserver_sklearn import SKLearnModel

FAILING = float(os.environ.get("FAILING", "0"))
SLOW = float(os.environ.get("SLOW", "0"))
SLOW_SECONDS = 0.3


class Faulty(SKLearnModel):
    """A model of scikit-learn, with faults."""

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Predict, late or not at all now and then."""
        if random.random() < SLOW:  # noqa: S311
            await asyncio.sleep(SLOW_SECONDS)
        if random.random() < FAILING:  # noqa: S311
            raise RuntimeError("told to fail")
        return await super().predict(payload)
