"""Requests of the Open Inference Protocol: pictures of handwritten digits, 8 by 8 pixels in 17 shades of grey.

They are 200 of the pictures that scikit-learn ships ("Optical Recognition of Handwritten Digits", E. Alpaydin and
C. Kaynak, UCI Machine Learning Repository, CC BY 4.0), none of which the models were trained on.
"""

import json
from pathlib import Path

_SHADES = "0123456789ABCDEFG"


def pictures() -> list[list[int]]:
    """The shades of the pixels of each, row by row."""
    lines = Path(__file__).with_name("pictures.txt").read_text().splitlines()
    return [[_SHADES.index(shade) for shade in line] for line in lines]


def request_bodies() -> list[bytes]:
    """One inference request for each picture."""
    return [_request(pixels) for pixels in pictures()]


def _request(pixels: list[int]) -> bytes:
    image = {"name": "image", "shape": [1, len(pixels)], "datatype": "FP32", "data": pixels}
    return json.dumps({"inputs": [image]}).encode()
