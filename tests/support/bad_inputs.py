"""Everything wrong that can be seen in a ModelRollout, with the words in which it is refused."""

from dataclasses import dataclass
from typing import Any

from modelrollout.api.slo import BuiltInMetric
from modelrollout.api.spec import ServerKind
from support.rollouts import ABSENT, WHOLE, Complaint, Object, field_of

CONTAINER = "spec.template.spec.containers.0"
GATEWAY = "spec.traffic.gatewayAPI"
OFFICE: Object = {"from": "09:00", "to": "16:00"}
BUDGET = "spec.disruptionBudget"
SCRAPES = "spec.directScrapes"
PODS = "must be a number of pods such as 1, or a share of them such as 25%, in quotes"
BLUE_GREEN = "spec.strategy.blueGreen"
STEPS = "spec.strategy.canary.steps"
BESIDE_STABLE: Object = {"spec.slos.2.query.value": 'max(drift{colour="$arm"})'}
STEP = f"{STEPS}.0"


@dataclass(frozen=True)
class Bad:
    """A wrong input: what is changed in `valid()` and how the refusal words it.

    The refusal must name the field that was changed first, unless it is another one that has to be mended. Server-side
    apply finds unknown fields, wrong types and repeated keys in words of its own, before the schema is looked at.
    """

    what: str
    changes: Object
    words: str
    field: str = ""
    applied: str = ""

    def is_named_by(self, complaint: Complaint) -> bool:
        named = self.field or field_of(next(iter(self.changes)))
        return complaint.field == named and self.words in complaint.message


def missing(path: str, **others: Any) -> Bad:
    return Bad(f"no {path}", {path: ABSENT, **others}, "Required value")


def unknown(path: str, value: Any = "x") -> Bad:
    name = field_of(path)
    declared = f".{name}: field not declared in schema"
    return Bad(f"unknown {name}", {path: value}, f'unknown field "{name}"', WHOLE, applied=declared)


def mistyped(path: str, value: Any, wanted: str) -> Bad:
    expected = "numeric" if wanted == "integer" else wanted
    leaf = path.rpartition(".")[2]
    what = f"{path} is {value!r}"
    return Bad(what, {path: value}, f"must be of type {wanted}", applied=f".{leaf}: expected {expected}")


def repeated(path: str, value: list[Any]) -> Bad:
    return Bad(f"twice the same in {path}", {path: value}, "Duplicate value", f"{path}[1]", applied="duplicate entries")


def outside(path: str, value: Any, *allowed: str) -> Bad:
    supported = ", ".join(f'"{one}"' for one in allowed)
    return Bad(f"{path} is {value!r}", {path: value}, f"supported values: {supported}")


def below(path: str, value: int, least: int = 1) -> Bad:
    return Bad(f"{path} is {value}", {path: value}, f"should be greater than or equal to {least}")


def above(path: str, value: int, most: int) -> Bad:
    return Bad(f"{path} is {value}", {path: value}, f"should be less than or equal to {most}")


def no_duration(path: str, value: str) -> Bad:
    return Bad(
        f"{path} is {value!r}", {path: value}, "must be a duration such as 90s, 5m, 1h30m or 120ms (a day is 24h)"
    )


def no_time(path: str, value: str) -> Bad:
    return Bad(f"{path} is {value!r}", {path: value}, "must be longer than 0s")


def referring(what: str, written: Object, words: str, field: str) -> Bad:
    return Bad(what, {"spec.workloadRef": written, "spec.template": ABSENT}, words, f"spec.workloadRef.{field}")


def steps(what: str, words: str, *weights: int) -> Bad:
    return Bad(what, {STEPS: [{"weight": weight} for weight in weights]}, words)


def stages(what: str, words: str, *named: tuple[str, int]) -> Bad:
    listed = [{"name": name, "traffic": {"weight": weight}} for name, weight in named]
    return Bad(what, {"spec.strategy": {"stages": listed}}, words, "spec.strategy.stages")


def window(what: str, written: Object, words: str, field: str) -> Bad:
    return Bad(what, {f"{STEP}.window": written}, words, field_of(f"{STEP}.window.{field}"))


def rings(what: str, words: str, *named: tuple[str, int]) -> Bad:
    listed = [{"name": name, "weight": weight} for name, weight in named]
    return Bad(what, {"spec.strategy": {"ring": {"rings": listed}}}, words, "spec.strategy.ring.rings")


def cohort(value: str, header: str = "x-ring") -> Object:
    return {"header": header, "value": value}


def matching(what: str, match: list[Object], words: str, **traffic: Any) -> list[Bad]:
    """Cohorts that are wrong in a ring, and in a stage in full."""
    rings = [{"name": "one", "match": match}, {"name": "all", "weight": 100}]
    stages = [{"name": "one", "traffic": {"weight": 0, "match": match}}, {"name": "all", "traffic": {"weight": 100}}]
    changes = {"spec.traffic": traffic} if traffic else {}
    return [
        Bad(f"{what}, in {place}", {"spec.strategy": {place: written}, **changes}, words, f"spec.strategy.{place}")
        for place, written in (("ring", {"rings": rings}), ("stages", stages))
    ]


def header(what: str, written: Object, words: str, field: str) -> Bad:
    return Bad(what, {f"{GATEWAY}.stableHeader": written}, words, field_of(f"{GATEWAY}.stableHeader.{field}"))


def first_token(source: str = "") -> Object:
    """An SLO on the time to the first token."""
    slo = {"name": "first-token", "metric": "time-to-first-token", "slowerThan": "1s", "limit": "5%"}
    return slo | ({"source": source} if source else {})


def no_metric(metric: str, server: str, words: str) -> Bad:
    """A metric that a server does not have."""
    threshold = {} if metric == "error-ratio" else {"slowerThan": "1s"}
    slo = {"name": "other", "metric": metric, "limit": "5%", **threshold}
    changes = {"spec.server": server, "spec.slos": [slo], "spec.strategy": ABSENT}
    return Bad(f"{metric} of {server}", changes, words, "spec.slos")


def counter(what: str, written: Object, words: str) -> Bad:
    return Bad(what, {"spec.slos.0.counter": written, "spec.slos.0.metric": ABSENT}, words)


def no_share(value: str) -> Bad:
    words = "is a share of all, from 0% to under 100%, such as 0.5%"
    return Bad(f"limit of a metric is {value!r}", {"spec.slos.0.limit": value}, words)


NAMES = [
    Bad("name of 58 characters", {"metadata.name": "s" * 58}, "at most 57 characters"),
    Bad("name starts with a digit", {"metadata.name": "2scorer"}, "must start with a letter"),
    Bad("name with a dot", {"metadata.name": "fraud.scorer"}, "only lower-case letters, digits and hyphens"),
    Bad("name of another one's colour", {"metadata.name": "scorer-blue"}, "must not end with -blue or -green"),
]

MODEL = [
    missing("spec"),
    unknown("spec.strateggy", {}),
    missing("spec.model"),
    missing("spec.model.version"),
    mistyped("spec.model.version", 2.1, "string"),
    Bad("version with a plus", {"spec.model.version": "2.1.0+build5"}, "write 2.1.0-build5 instead of 2.1.0+build5"),
    Bad("version with a slash", {"spec.model.version": "v2/1"}, "must be a label value: letters, digits"),
    Bad("empty version", {"spec.model.version": ""}, "must be a label value"),
    Bad("version of 64 characters", {"spec.model.version": "1" * 64}, "may not be more than 63"),
    Bad("uri with a space", {"spec.model.uri": "s3://models/a b"}, "must hold no spaces"),
    Bad("model name in two lines", {"spec.model.name": "a\nb"}, "must hold no spaces or line breaks"),
    outside("spec.server", "tritn", *ServerKind),
    below("spec.replicas", 0),
    mistyped("spec.replicas", "two", "integer"),
    mistyped("spec.paused", "yes", "boolean"),
    outside("spec.deletionPolicy", "Keep", "Retain", "Delete"),
    outside("spec.readyWhen", "Promoted", "Serving", "Complete"),
]

PORTS = [
    below("spec.service.port", 0),
    above("spec.service.port", 70000, 65535),
    mistyped("spec.service.port", "80", "integer"),
    Bad("target port 0", {"spec.service.targetPort": 0}, "a number from 1 to 65535, or the name of a container port"),
    Bad("target port 70000", {"spec.service.targetPort": 70000}, "a number from 1 to 65535"),
    no_duration("spec.service.longestAnswer", "10 minutes"),
    no_time("spec.service.longestAnswer", "0s"),
    mistyped("spec.service.longestAnswer", 600, "string"),
    Bad("target port that no container has", {"spec.service.targetPort": "grpc"}, "name a port so in the template"),
    Bad("number of a target port in quotes", {"spec.service.targetPort": "8080"}, "or set targetPort to a number"),
    Bad(
        "target port by default, without ports",
        {"spec.service": ABSENT, f"{CONTAINER}.ports": ABSENT},
        "name a port so in the template",
        "spec.service.targetPort",
    ),
    Bad("nothing to scrape", {"spec.directScrapes": {}}, "name a container port metrics, or annotate the pods"),
    Bad("port 0 to scrape", {"spec.directScrapes": {"port": 0}}, "a number from 1 to 65535", f"{SCRAPES}.port"),
    Bad(
        "port to scrape that no container has",
        {"spec.directScrapes": {"port": "metrics"}},
        "or set directScrapes.port to a number",
        f"{SCRAPES}.port",
    ),
    Bad(
        "scraped too often", {"spec.directScrapes": {"port": 1, "interval": "500ms"}}, "from 1s", f"{SCRAPES}.interval"
    ),
    Bad("scraped too rarely", {"spec.directScrapes": {"port": 1, "interval": "11s"}}, "to 10s", f"{SCRAPES}.interval"),
    Bad(
        "no duration between scrapes",
        {"spec.directScrapes": {"port": 1, "interval": "2"}},
        "must be a duration such as 2s",
        f"{SCRAPES}.interval",
    ),
    Bad(
        "no path to scrape",
        {"spec.directScrapes": {"port": 1, "path": "metrics"}},
        "must be a path that starts with /",
        f"{SCRAPES}.path",
    ),
    Bad(
        "scrapes for the gateway's metrics",
        {"spec.directScrapes": {"port": 1}, "spec.server": ABSENT, "spec.slos.1.source": "Gateway"},
        "add one with counter, or with metric and spec.server",
    ),
    Bad("scrapes for no SLO", {"spec.directScrapes": {"port": 1}, "spec.slos": ABSENT}, "for SLOs that count"),
    above(f"{CONTAINER}.ports.0.containerPort", 70000, 65535),
    Bad("name of a port too long", {f"{CONTAINER}.ports.0.name": "h" * 16}, "may not be more than 15"),
    Bad("name of a port in capitals", {f"{CONTAINER}.ports.0.name": "HTTP"}, "only lower-case letters, digits"),
]

TEMPLATE = [
    Bad("neither template nor workloadRef", {"spec.template": ABSENT}, "write a template, or name the Deployment"),
    Bad("template and workloadRef", {"spec.workloadRef": {"name": "old"}}, "takes the place of template: remove one"),
    referring("no name in workloadRef", {"scaleDown": "Never"}, "Required value", "name"),
    referring("workloadRef in capitals", {"name": "Old"}, "must be the name of a Deployment", "name"),
    referring("workloadRef of a colour", {"name": "scorer-blue"}, "makes for this very ModelRollout", "name"),
    referring(
        "scaleDown in small letters",
        {"name": "old", "scaleDown": "never"},
        'supported values: "OnceServing", "Never"',
        "scaleDown",
    ),
    Bad(
        "kind in workloadRef",
        {"spec.workloadRef": {"name": "old", "kind": "Deployment"}, "spec.template": ABSENT},
        'unknown field "spec.workloadRef.kind"',
        WHOLE,
        applied=".spec.workloadRef.kind: field not declared in schema",
    ),
    missing("spec.template.spec"),
    unknown("spec.template.containers", []),
    missing("spec.template.spec.containers"),
    Bad("no containers", {"spec.template.spec.containers": []}, "should have at least 1 items"),
    missing(f"{CONTAINER}.image"),
    Bad("image with a space", {f"{CONTAINER}.image": "scorer: 2"}, "must be the name of an image, without spaces"),
    Bad(
        "container without a name",
        {f"{CONTAINER}.name": ABSENT},
        "Required value",
        applied='omits all key fields ["name"]',
    ),
    Bad("name of a container in capitals", {f"{CONTAINER}.name": "Server"}, "only lower-case letters, digits"),
    repeated("spec.template.spec.containers", [{"name": "a", "image": "a"}] * 2),
    outside("spec.template.spec.restartPolicy", "Never", "Always"),
    mistyped("spec.template.spec.terminationGracePeriodSeconds", "60", "integer"),
    below("spec.template.spec.terminationGracePeriodSeconds", -1, least=0),
    Bad("variable of the operator", {f"{CONTAINER}.env.0.name": "MODEL_VERSION"}, "remove it here and set spec.model"),
    Bad(
        "variable of the operator, in an init container",
        {
            "spec.template.spec.initContainers": [
                {"name": "fetch", "image": "fetch", "env": [{"name": "MODEL_URI", "value": "s3://models/other"}]}
            ]
        },
        "remove it here and set spec.model",
        "spec.template.spec.initContainers[0].env[0].name",
    ),
    mistyped(f"{CONTAINER}.env.0.value", 5, "string"),
    Bad(
        "label of the operator",
        {"spec.template.metadata.labels": {"modelrollout.io/colour": "blue"}},
        "are set by the operator: remove them from the template",
    ),
    Bad(
        "label with a space",
        {"spec.template.metadata.labels.app": "a b"},
        "must be a label value",
        "spec.template.metadata.labels[app]",
    ),
    mistyped("spec.template.metadata.annotations.team", True, "string"),
]

TRAFFIC = [
    Bad("two routers", {"spec.traffic.replicas": {}}, "remove either gatewayAPI or replicas", "spec.traffic"),
    unknown("spec.traffic.gatewayApi", {}),
    Bad(
        "unknown way with the unreachable",
        {"spec.traffic": {"replicas": {"unreachable": "Ignore"}}},
        'supported values: "Skip", "Refuse"',
        "spec.traffic.replicas.unreachable",
    ),
    Bad("traffic without a router", {"spec.traffic": {}}, "name a router, such as replicas: {}"),
    Bad(
        "gatewayAPI: and nothing after it",
        {GATEWAY: None},
        "name a router, such as replicas: {}",
        "spec.traffic",
        "spec.traffic.gatewayAPI in body must be of type object",
    ),
    missing(f"{GATEWAY}.parentRefs"),
    Bad("no parents", {f"{GATEWAY}.parentRefs": []}, "should have at least 1 items"),
    missing(f"{GATEWAY}.parentRefs.0.name"),
    Bad("same parent twice", {f"{GATEWAY}.parentRefs": [{"name": "a"}, {"name": "a"}]}, "remove the repeated one"),
    Bad(
        "Service as parent, in the group of Gateways",
        {f"{GATEWAY}.parentRefs.0.kind": "Service"},
        "set group to the empty string",
        field_of(f"{GATEWAY}.parentRefs.0.group"),
    ),
    Bad("host name with a scheme", {f"{GATEWAY}.hostnames.0": "https://a.example.com"}, "no scheme, no port"),
    Bad("host name with a port", {f"{GATEWAY}.hostnames.0": "a.example.com:80"}, "no scheme, no port"),
    repeated(f"{GATEWAY}.hostnames", ["a.example.com"] * 2),
    header("header with a space", cohort("a", "x ring"), "must be the name of a header such as x-ring", "header"),
    header("value in two lines", cohort("a\nb"), "must be what a header can carry", "value"),
    header("value that ends with a space", cohort("a "), "must be what a header can carry", "value"),
    header("empty value", cohort(""), "must be what a header can carry", "value"),
    header("header without a value", {"header": "x-ring"}, "Required value", "value"),
    Bad("path prefix without slash", {f"{GATEWAY}.pathPrefix": "v2"}, "must be a path that starts with /"),
    Bad("path prefix that no route takes", {f"{GATEWAY}.pathPrefix": "/v2/../admin"}, "must hold no empty, . or .."),
]

STRATEGY = [
    Bad("two strategies", {"spec.strategy.blueGreen": {}}, "name one strategy: keep one of canary", "spec.strategy"),
    Bad(
        "three strategies",
        {"spec.strategy.ring": {}, "spec.strategy.percentage": {}},
        "name one strategy: keep one",
        "spec.strategy",
    ),
    Bad("shadow", {"spec.strategy": {"shadow": {}}}, "comes with a later release", "spec.strategy.shadow"),
    Bad("A/B test", {"spec.strategy": {"abTest": {}}}, "comes with a later release", "spec.strategy.abTest"),
    Bad("no stages", {"spec.strategy": {"stages": []}}, "should have at least 1 items", "spec.strategy.stages"),
    stages("stages descend", "put them in order", ("one", 50), ("two", 25), ("three", 100)),
    stages("last stage is not 100", "add a stage with weight 100", ("one", 50)),
    stages("a stage called bake", "choose another one", ("bake", 100)),
    Bad(
        "a stage twice",
        {"spec.strategy": {"stages": [{"name": "one", "traffic": {"weight": weight}} for weight in (50, 100)]}},
        "Duplicate value",
        "spec.strategy.stages[1]",
        applied="duplicate entries",
    ),
    Bad(
        "a stage with a name that is no label",
        {"spec.strategy": {"stages": [{"name": "One", "traffic": {"weight": 100}}]}},
        "must hold only lower-case letters",
        "spec.strategy.stages[0].name",
    ),
    Bad(
        "stage without traffic",
        {"spec.strategy": {"stages": [{"name": "all"}]}},
        "Required value",
        "spec.strategy.stages[0].traffic",
    ),
    rings("rings descend", "put them in order", ("internal", 10), ("beta", 1), ("production", 100)),
    rings("last ring is not 100", "add a ring with weight 100", ("internal", 10)),
    rings("a ring called bake", "choose another one", ("bake", 100)),
    rings("a ring that lets nobody in", "give it a weight, a match, or both", ("internal", 0), ("production", 100)),
    Bad(
        "rings with 65 matches",
        {
            "spec.strategy": {
                "ring": {
                    "rings": [
                        *({"name": f"r{n}", "match": [cohort(f"{n}-{m}") for m in range(13)]} for n in range(5)),
                        {"name": "all", "weight": 100},
                    ]
                }
            }
        },
        "give the callers of a ring one header in common",
        "spec.strategy.ring.rings",
    ),
    *matching("a cohort without a gateway", [cohort("a")], "match needs traffic.gatewayAPI: set it", replicas={}),
    *matching("those who ask for stable", [cohort("stable", "X-Model-Variant")], "use another header or value"),
    Bad(
        "a cohort twice",
        {"spec.strategy": {"ring": {"rings": [{"name": "all", "weight": 100, "match": [cohort("a")] * 2}]}}},
        "Duplicate value",
        "spec.strategy.ring.rings[0].match[1]",
        applied="duplicate entries",
    ),
    Bad(
        "own percentages that end early",
        {"spec.strategy": {"percentage": {"steps": [{"weight": 50}]}}},
        "add a step with weight 100",
        "spec.strategy.percentage.steps",
    ),
    Bad(
        "requires an SLO that is not there",
        {f"{STEP}.require": {"slos": ["errorz"]}},
        "add it there",
        "spec.strategy.canary",
    ),
    Bad("bakes for an SLO that is not there", {"spec.bake": {"duration": "1h", "slos": ["errorz"]}}, "add it there"),
    window("a window that closes first", {"from": "16:00", "to": "09:00"}, "on the day on which it opens", "to"),
    window("a window from 9", {"from": "9", "to": "16:00"}, "must be a time of the day such as 09:00", "from"),
    window("a window to 24:00", {"from": "09:00", "to": "24:00"}, "must be a time of the day such as 09:00", "to"),
    window("a window in Mordor", {**OFFICE, "timeZone": "Europe/Mordor"}, "unknown time zone", "timeZone"),
    window("a window in no zone", {**OFFICE, "timeZone": "Europe Berlin"}, "a name of the IANA", "timeZone"),
    window("a window on no day", {**OFFICE, "days": []}, "should have at least 1 items", "days"),
    window("a window on a day that is none", {**OFFICE, "days": ["Monday"]}, "supported values", "days[0]"),
    window("a window that never closes", {"from": "09:00"}, "Required value", "to"),
    Bad("no retries", {"spec.retry": {"limit": 0, "after": "10m"}}, "greater than or equal to 1", "spec.retry.limit"),
    Bad(
        "too many retries",
        {"spec.retry": {"limit": 11, "after": "10m"}},
        "less than or equal to 10",
        "spec.retry.limit",
    ),
    Bad("retries at once", {"spec.retry": {"limit": 1, "after": "0s"}}, "must be longer than 0s", "spec.retry.after"),
    Bad("retries after who knows what", {"spec.retry": {"limit": 1}}, "Required value", "spec.retry.after"),
    Bad("bakes for no time", {"spec.bake": {"duration": "0s"}}, "must be longer than 0s", "spec.bake.duration"),
    Bad("bakes for who knows how long", {"spec.bake": {}}, "Required value", "spec.bake.duration"),
    unknown("spec.strategy.rainbow", {}),
    Bad("strategy without one", {"spec.strategy": {}}, "or remove strategy for canary"),
    Bad(
        "blueGreen: and nothing after it",
        {"spec.strategy": {"blueGreen": None}},
        "name a strategy, such as blueGreen: {} for its defaults",
        applied="spec.strategy.blueGreen in body must be of type object",
    ),
    Bad("no steps", {STEPS: []}, "should have at least 1 items"),
    steps("33 steps", "must have at most 32 items", *range(1, 33), 100),
    steps("weights descend", "put them in order", 25, 5, 100),
    steps("a weight twice", "remove the repeated step", 5, 5, 100),
    steps("last weight is not 100", "add a step with weight 100", 5, 50),
    Bad(
        "blue/green does not end at 100",
        {"spec.strategy": {"blueGreen": {"steps": [{"weight": 50}]}}},
        "add a step with weight 100",
        f"{BLUE_GREEN}.steps",
    ),
    above(f"{STEP}.weight", 101, 100),
    below(f"{STEP}.weight", -1),
    below(f"{STEP}.weight", 0),
    mistyped(f"{STEP}.weight", "5%", "integer"),
    missing(f"{STEP}.weight"),
    unknown(f"{STEP}.wieght", 5),
    no_duration(f"{STEP}.hold", "2 hours"),
    no_duration(f"{STEP}.hold", "1d"),
    no_duration(f"{STEP}.hold", "300"),
    no_duration(f"{STEP}.hold", "-5m"),
    no_duration(f"{STEP}.hold", "9999999h"),
    no_duration(f"{STEP}.deadline", "1.5h"),
    mistyped(f"{STEP}.hold", 300, "string"),
    Bad("deadline before the end of the hold", {f"{STEP}.deadline": "30s"}, "lengthen deadline or shorten hold"),
    Bad(
        "deadline of nothing",
        {STEP: {"weight": 5, "hold": "0s", "deadline": "0s"}},
        "must be longer than 0s",
        field_of(f"{STEP}.deadline"),
    ),
    Bad(
        "onDeadline without deadline",
        {STEP: {"weight": 5, "onDeadline": "Revert"}},
        "add one, or remove onDeadline",
        field_of(f"{STEP}.onDeadline"),
    ),
    outside(f"{STEP}.onDeadline", "Abort", "Hold", "Revert", "Advance"),
]

SLOS = [
    Bad("alerts of who knows which rule", {"spec.alerts": {}}, "Required value", "spec.alerts.revertOn"),
    Bad("alerts of no rule", {"spec.alerts": {"revertOn": []}}, "at least 1 items", "spec.alerts.revertOn"),
    Bad(
        "a rule with a space before its name",
        {"spec.alerts": {"revertOn": [{"alertname": " Errors"}]}},
        "must be the name of an alerting rule",
        "spec.alerts.revertOn[0].alertname",
    ),
    Bad(
        "name of a Prometheus with a dot", {"spec.prometheus": "eu.west"}, "only lower-case letters, digits and hyphens"
    ),
    Bad("SLO of nothing", {"spec.slos.0.metric": ABSENT}, "name one of metric, counter and query", "spec.slos[0]"),
    Bad(
        "SLO of two things",
        {"spec.slos.0.query": {"value": "1"}},
        "name one of metric, counter and query",
        "spec.slos[0]",
    ),
    Bad("nothing to hold an SLO against", {"spec.slos.0.limit": ABSENT}, "nothing says what is bad", "spec.slos[0]"),
    Bad(
        "baseline of a query that does not say which way is worse",
        {"spec.slos.2.baseline": {}, **BESIDE_STABLE},
        "a query does not say whether more or less is worse: set maxIncrease or maxDecrease",
    ),
    Bad(
        "baseline of a query that is about one version",
        {"spec.slos.2.query.value": 'max(drift{colour="$candidate"})', "spec.slos.2.baseline": {"maxIncrease": "5%"}},
        "write $arm where the query names the colour",
    ),
    Bad(
        "limit and baseline of one query",
        {"spec.slos.2.limit": "0.3", "spec.slos.2.baseline": {"maxIncrease": "5%"}, **BESIDE_STABLE},
        "are two SLOs: remove limit here, or baseline",
    ),
    Bad(
        "baseline in both directions",
        {"spec.slos.0.baseline": {"maxIncrease": "5%", "maxDecrease": "5%"}},
        "counts are worse in one direction only",
    ),
    Bad(
        "less of what is bad",
        {"spec.slos.0.baseline": {"maxDecrease": "5%"}},
        "maxDecrease is for what is good",
        "spec.slos[0].baseline.maxDecrease",
    ),
    Bad(
        "increase without a per cent sign",
        {"spec.slos.0.baseline": {"maxIncrease": "0.5"}},
        "must be a share such as 25%",
        "spec.slos[0].baseline.maxIncrease",
    ),
    Bad(
        "Plain beside stable",
        {"spec.slos.0.test": "Plain", "spec.slos.0.baseline": {}},
        "only Sequential compares counts with stable",
    ),
    Bad(
        "decrease without a per cent sign",
        {"spec.slos.0.baseline": {"maxDecrease": "0.5"}},
        "must be a share from 0% to under 100%",
        "spec.slos[0].baseline.maxDecrease",
    ),
    Bad(
        "test of a query",
        {"spec.slos.2.test": "Plain"},
        "a query that has a limit is judged by that alone: remove test here",
    ),
    outside("spec.slos.0.test", "Bayes", "Sequential", "Plain"),
    outside("spec.slos.0.onBreach", "Email", "Revert", "Hold", "Notify"),
    outside("spec.slos.0.sharedIncident", "Revert", "Hold", "Ignore"),
    *(
        Bad(
            f"{less} without a limit",
            {f"spec.slos.0.{less}": "0.1%", "spec.slos.0.limit": ABSENT, "spec.slos.0.baseline": {}},
            f"{less} is less than a limit: set limit as well",
        )
        for less in ("target", "warning")
    ),
    Bad("warning above the limit", {"spec.slos.0.warning": "99%"}, "warning must not be above limit"),
    Bad("target above the limit", {"spec.slos.0.target": "99%"}, "target must not be above limit"),
    Bad(
        "target above the warning",
        {"spec.slos.0.target": "0.2%", "spec.slos.0.warning": "0.1%"},
        "must not be above warning",
    ),
    *(
        counter(*one)
        for one in (
            (
                "a counter of bad and good ones",
                {"bad": "a_total", "good": "b_total", "total": "c_total"},
                "name one of bad and good",
            ),
            ("a counter of neither", {"total": "c_total"}, "name one of bad and good"),
        )
    ),
    Bad(
        "a counter of good ones without a baseline",
        {
            "spec.slos.0.counter": {"good": "a_total", "total": "b_total"},
            "spec.slos.0.metric": ABSENT,
            "spec.slos.0.limit": ABSENT,
            "spec.slos.0.baseline": {},
        },
        "set baseline.maxDecrease",
        "spec.slos[0].counter.good",
    ),
    Bad(
        "a limit for good ones",
        {
            "spec.slos.0.limit": "1%",
            "spec.slos.0.counter": {"good": "a_total", "total": "b_total"},
            "spec.slos.0.metric": ABSENT,
            "spec.slos.0.baseline": {"maxDecrease": "5%"},
        },
        "limit is for what is bad",
    ),
    below("spec.slos.0.totalBreaches", 0),
    Bad("no stage to judge in", {"spec.slos.0.stages": []}, "should have at least 1 items"),
    Bad(
        "proof of what does not count",
        {
            f"{STEP}.require": {"proof": True},
            "spec.slos.2.baseline": {"maxIncrease": "5%"},
            "spec.slos.2.limit": ABSENT,
            **BESIDE_STABLE,
        },
        "give an SLO that counts a baseline",
        "spec.strategy.canary",
    ),
    Bad(
        "proof without a baseline",
        {f"{STEP}.require": {"proof": True}},
        "proof is of not being worse than stable",
        "spec.strategy.canary",
    ),
    Bad("SLO without a name", {"spec.slos.0.name": ABSENT}, "Required value", applied='omits all key fields ["name"]'),
    Bad("name of an SLO in words", {"spec.slos.0.name": "Error Ratio"}, "only lower-case letters, digits and hyphens"),
    repeated("spec.slos", [{"name": "errors", "metric": "error-ratio", "limit": "1%"}] * 2),
    Bad(
        "17 SLOs",
        {"spec.slos": [{"name": f"s{n}", "metric": "error-ratio", "limit": "1%"} for n in range(17)]},
        "must have at most 16 items",
    ),
    outside("spec.slos.0.metric", "error-rate", *BuiltInMetric),
    Bad("latency without threshold", {"spec.slos.1.slowerThan": ABSENT}, "set it, such as 120ms"),
    Bad(
        "threshold of something else",
        {"spec.slos.0.slowerThan": "100ms"},
        "belongs to metric latency and the like: remove it here",
    ),
    no_duration("spec.slos.1.slowerThan", "100"),
    no_time("spec.slos.1.slowerThan", "0ms"),
    mistyped("spec.slos.0.limit", 0.5, "string"),
    Bad("limit with a comma", {"spec.slos.0.limit": "0,5%"}, "must be a number such as 0.3, or a share such as 0.1%"),
    Bad("limit of a query in words", {"spec.slos.2.limit": "low"}, "must be a number such as 0.3"),
    no_share("0.5"),
    no_share("120ms"),
    no_share("-1%"),
    no_share("100%"),
    no_time("spec.slos.0.window", "0s"),
    no_duration("spec.slos.0.window", "short"),
    below("spec.slos.0.minSamples", 0),
    below("spec.slos.0.consecutiveBreaches", 0),
    outside("spec.slos.0.source", "Mesh", "Server", "Gateway"),
    Bad("source of a query", {"spec.slos.2.source": "Server"}, "source belongs to metric: remove it here"),
    Bad("source Server without a server", {"spec.server": ABSENT}, "source Server needs spec.server", "spec.slos"),
    *(no_metric("time-to-first-token", server, "only sglang, triton, vllm do") for server in ("mlserver", "tgi")),
    no_metric("time-per-output-token", "triton", "only sglang, tgi, vllm do"),
    no_metric("latency", "triton", "use source Gateway, or a query of the mean"),
    no_metric("latency", "torchserve", "use source Gateway, or a query of the mean"),
    no_metric("error-ratio", "kserve", "with source Gateway"),
    Bad(
        "time to the first token from the gateway",
        {"spec.server": "vllm", "spec.slos.1": first_token("Gateway")},
        "the gateway does not tell time-to-first-token",
        "spec.slos",
    ),
    Bad(
        "time per token from the gateway",
        {
            "spec.server": "vllm",
            "spec.slos.1": first_token("Gateway") | {"metric": "time-per-output-token"},
        },
        "the gateway does not tell time-per-output-token",
        "spec.slos",
    ),
    Bad(
        "time to the first token without a server",
        {"spec.server": ABSENT, "spec.slos.1": first_token()},
        "name sglang or triton or vllm as spec.server",
        "spec.slos",
    ),
    Bad(
        "source Gateway without a gateway",
        {"spec.traffic": {"replicas": {}}, "spec.slos.1.source": "Gateway"},
        "source Gateway needs traffic.gatewayAPI",
        "spec.slos",
    ),
    Bad(
        "metric from nowhere",
        {"spec.traffic": ABSENT, "spec.server": ABSENT, "spec.slos.1.source": ABSENT},
        "set spec.server, or route with traffic.gatewayAPI, or use query",
        "spec.slos",
    ),
    Bad("empty query", {"spec.slos.2.query.value": ""}, "should be at least 1 chars long"),
    Bad("unknown variable", {"spec.slos.2.query.value": 'x{c="$canary"}'}, "only these are filled in: $namespace,"),
    Bad("longer variable", {"spec.slos.2.query.value": 'x{c="$candidate2"}'}, "correct the others"),
    Bad("unknown variable in braces", {"spec.slos.2.query.value": 'x{c="${canary}"}'}, "correct the others"),
    Bad("samples of a query", {"spec.slos.2.minSamples": 20}, "minSamples is for counts: remove it here"),
    Bad("revertAfter without Hold", {"spec.slos.0.revertAfter": "1h"}, "belongs to onBreach Hold"),
    Bad(
        "revertAfter of a breach that reverts",
        {"spec.slos.0.revertAfter": "1h", "spec.slos.0.onBreach": "Revert"},
        "belongs to onBreach Hold",
    ),
    no_duration("spec.slos.0.revertAfter", "1 hour"),
    outside("spec.slos.0.onBreach", "Explode", "Revert", "Hold"),
]

REST = [
    missing("spec.warmUp.path"),
    Bad("warm-up without slash", {"spec.warmUp.path": "v2/infer"}, "must be a path that starts with /"),
    Bad("warm-up of a URL", {"spec.warmUp.path": "http://a/v2"}, "must be a path that starts with /"),
    outside("spec.warmUp.method", "PUT", "GET", "POST"),
    Bad("GET with a body", {"spec.warmUp.method": "GET"}, "remove body, or set method to POST", "spec.warmUp.body"),
    below("spec.warmUp.requests", 0),
    no_time("spec.warmUp.timeout", "0s"),
    Bad("content type in a word", {"spec.warmUp.contentType": "json"}, "must be a content type such as"),
    Bad("a budget of nothing", {BUDGET: {}}, "name one of maxUnavailable and minAvailable"),
    Bad("both sides of a budget", {BUDGET: {"maxUnavailable": 1, "minAvailable": 1}}, "name one of maxUnavailable"),
    Bad("a budget of -1", {BUDGET: {"maxUnavailable": -1}}, PODS, f"{BUDGET}.maxUnavailable"),
    Bad("a budget in quotes", {BUDGET: {"maxUnavailable": "1"}}, PODS, f"{BUDGET}.maxUnavailable"),
    Bad("more than all pods", {BUDGET: {"minAvailable": "101%"}}, PODS, f"{BUDGET}.minAvailable"),
    Bad("a part of a per cent", {BUDGET: {"minAvailable": "7.5%"}}, PODS, f"{BUDGET}.minAvailable"),
    no_duration("spec.rollback.keepWarm", "1d"),
    no_time("spec.progressDeadline", "0m"),
    mistyped("spec.progressDeadline", 600, "string"),
    Bad(
        "copies of Secrets in a word",
        {"spec.copies": {"secrets": "yes"}},
        "must be of type boolean",
        "spec.copies.secrets",
        applied=".secrets: expected boolean",
    ),
    below("spec.revisionHistoryLimit", -1, 0),
    above("spec.revisionHistoryLimit", 101, 100),
    Bad(
        "gradual ways back without weights",
        {"spec.traffic": {"replicas": {}}, "spec.rollback": {"mode": "Gradual"}},
        "Gradual needs weights: route with traffic.gatewayAPI",
        "spec.rollback.mode",
    ),
    Bad(
        "a proportional candidate without weights",
        {"spec.traffic": {"replicas": {}}, "spec.capacity": {"candidate": "Proportional"}},
        "Proportional needs weights: route with traffic.gatewayAPI",
        "spec.capacity.candidate",
    ),
    Bad(
        "headroom of a full candidate",
        {"spec.capacity": {"headroom": "25%"}},
        "headroom goes with candidate: Proportional only",
        "spec.capacity.headroom",
    ),
    Bad(
        "headroom in words",
        {"spec.capacity": {"candidate": "Proportional", "headroom": "some"}},
        "must be a share under 100% such as 25%",
        "spec.capacity.headroom",
    ),
    Bad(
        "a fixed candidate without weights",
        {"spec.traffic": {"replicas": {}}, "spec.capacity": {"candidate": "Fixed", "pods": 1}},
        "Fixed needs weights: route with traffic.gatewayAPI",
        "spec.capacity.candidate",
    ),
    Bad(
        "a fixed candidate of no number",
        {"spec.capacity": {"candidate": "Fixed"}},
        "Fixed needs a number of pods: set capacity.pods",
        "spec.capacity.candidate",
    ),
    Bad(
        "a number of pods of a full candidate",
        {"spec.capacity": {"pods": 2}},
        "pods goes with candidate: Fixed only",
        "spec.capacity.pods",
    ),
    Bad(
        "a fixed candidate of no pods",
        {"spec.capacity": {"candidate": "Fixed", "pods": 0}},
        "should be greater than or equal to 1",
        "spec.capacity.pods",
    ),
    Bad(
        "an unknown way without room",
        {"spec.capacity": {"noRoom": "Shrink"}},
        'supported values: "ShrinkStable", "Wait", "Recreate"',
        "spec.capacity.noRoom",
    ),
]

REFUSED = NAMES + MODEL + PORTS + TEMPLATE + TRAFFIC + STRATEGY + SLOS + REST
