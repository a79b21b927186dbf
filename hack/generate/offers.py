"""What the metrics of each model server and of the gateway tell, read off their templates, for the rules of the API.

The API must not import the templates, which are made of it; and nothing here may import the API, which reads this.
"""

import json
from pathlib import Path
from typing import Any

import yaml

PATH = Path("operator/modelrollout/api/offers.json")
_TEMPLATES = Path(__file__).parents[2] / "operator/modelrollout/metrics/templates"


def written() -> str:
    """The offers as JSON, by the names of the servers; those of all proxies together as `gateway`."""
    templates = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(_TEMPLATES.glob("*.yaml"))]
    of_servers = {template["name"]: _offer(template) for template in templates if "controllers" not in template}
    of_proxies = [metric for template in templates if "controllers" in template for metric in template["metrics"]]
    gateway = {"metrics": list(dict.fromkeys(of_proxies)), "instead": {}}
    return json.dumps({**of_servers, "gateway": gateway}, indent=2) + "\n"


def _offer(template: dict[str, Any]) -> dict[str, Any]:
    return {"metrics": list(template["metrics"]), "instead": template.get("instead", {})}
