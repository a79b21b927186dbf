"""Whose proxies count the requests of a route: known by the controllers that serve it."""

from functools import cache, lru_cache
from importlib.resources import files

from modelrollout.metrics.exposed import NotFound
from modelrollout.metrics.templates import Template, load


@cache
def known() -> tuple[Template, ...]:
    """The templates of proxies."""
    folder = files(__package__).joinpath("templates")
    templates = map(load, sorted(path.name.removesuffix(".yaml") for path in folder.iterdir()))
    return tuple(template for template in templates if template.controllers)


@lru_cache
def find(controllers: frozenset[str]) -> Template | NotFound:
    """The template of the proxies that all of these controllers set up."""
    if not controllers:
        return NotFound("no controller says that it serves the HTTPRoute, so nobody knows whose proxies count")
    found = {name: [one for one in known() if name.startswith(one.controllers)] for name in sorted(controllers)}
    unknown = [name for name, templates in found.items() if not templates]
    if unknown:
        names = ", ".join(f"{one.name} ({', '.join(one.controllers)})" for one in known())
        return NotFound(
            f"what the proxies of {' and '.join(unknown)} call their metrics is not known; known are those of {names}: "
            "name the model server as spec.server, without source Gateway, or use a query"
        )
    proxies = {one.name: one for templates in found.values() for one in templates}
    if len(proxies) > 1:
        return NotFound(
            f"the HTTPRoute is served by {' and '.join(proxies)}, of which each counts a part: "
            "name the model server as spec.server, without source Gateway, or use a query"
        )
    return next(iter(proxies.values()))
