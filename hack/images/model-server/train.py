"""Train the model versions of the demo: two good ones, three that go wrong the way real ones do, one at will.

The data are the 8 x 8 grey pictures of handwritten digits that scikit-learn ships.
"""

import json
import sys
from pathlib import Path

import joblib
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

SERVER = {"http_port": 8080, "grpc_port": 8081, "metrics_port": 8082, "parallel_workers": 0, "debug": False}
# No name and no version: the container gives both by MLSERVER_MODEL_NAME and MLSERVER_MODEL_VERSION.
MODEL = {"implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./model.joblib"}}

# A category that the few training pictures did not have makes it raise: the classic of an encoder fitted on a sample.
FORGETFUL = make_pipeline(OneHotEncoder(handle_unknown="error"), LogisticRegression(max_iter=200))
FORGETFUL_ROWS = 150
# Of no use to anybody who waits for an answer.
LABORIOUS = RandomForestClassifier(n_estimators=8000, max_depth=4, random_state=1)


def main(target: Path) -> None:
    """Write one folder for each version."""
    images, digits = load_digits(return_X_y=True)
    seen, unseen, seen_digits, unseen_digits = train_test_split(images, digits, test_size=0.3, random_state=1)

    def write(version: str, model: ClassifierMixin, **settings: str) -> Path:
        folder = target / version
        folder.mkdir(parents=True)
        (folder / "settings.json").write_text(json.dumps(SERVER, indent=2))
        (folder / "model-settings.json").write_text(json.dumps(MODEL | settings, indent=2))
        joblib.dump(model, folder / "model.joblib", compress=1)
        return folder

    def fit_and_write(version: str, model: ClassifierMixin, **settings: str) -> Path:
        model.fit(seen, seen_digits)
        print(f"{version}: accuracy {accuracy_score(unseen_digits, model.predict(unseen)):.3f}")
        return write(version, model, **settings)

    fit_and_write("1.0.0", make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500)))
    fit_and_write(
        "faulty", make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), implementation="faulty.Faulty"
    )
    fit_and_write("1.1.0", ExtraTreesClassifier(n_estimators=60, random_state=1))
    fit_and_write("1.2.0-slow", LABORIOUS)
    write("1.2.0-failing", FORGETFUL.fit(seen[:FORGETFUL_ROWS], seen_digits[:FORGETFUL_ROWS]))
    print(f"1.2.0-failing: raises on {share_of_failures(unseen):.0%} of pictures")
    cut_off = fit_and_write("1.2.0-crashing", LogisticRegression(max_iter=2000)) / "model.joblib"
    # An upload that was cut off: it cannot be loaded.
    cut_off.write_bytes(cut_off.read_bytes()[:500])


def share_of_failures(images: list[list[float]]) -> float:
    """How often the forgetful model raises."""
    failures = 0
    for image in images:
        try:
            FORGETFUL.predict([image])
        except ValueError:
            failures += 1
    return failures / len(images)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
