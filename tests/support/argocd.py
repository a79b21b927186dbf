"""Argo CD's Lua, as far as its ConfigMap and our objects are concerned: the same dialect, and no library more.

Argo CD opens only the base, package and table libraries, and `require("os")` gives date and time alone; tables go back
to it as JSON, an empty one as a list.
"""

import functools
from pathlib import Path
from typing import Any

import yaml
from lupa.lua51 import LuaRuntime, lua_type

Object = dict[str, Any]

_CONFIG = Path(__file__).parents[2] / "integrations" / "argocd" / "argocd-cm.yaml"
_KIND = "modelrollout.io_ModelRollout"

_AS_IN_ARGO_CD = """
local date, time = os.date, os.time
for _, name in ipairs({"string", "math", "io", "os", "debug", "coroutine"}) do
  _G[name], package.loaded[name] = nil, nil
end
getmetatable("").__index = nil
package.preload["os"] = function() return {date = date, time = time} end
"""


@functools.cache
def configured() -> Object:
    """The settings in the part of argocd-cm that we ship."""
    data: Object = yaml.safe_load(_CONFIG.read_text())["data"]
    return data


def health(rollout: Object) -> Object:
    """What Argo CD takes a ModelRollout for: its status and a message."""
    found: Object = _run(configured()[f"resource.customizations.health.{_KIND}"], rollout)
    return found


def discovered(rollout: Object) -> dict[str, Object]:
    """The actions that Argo CD shows, by name."""
    found: dict[str, Object] = _run(_actions()["discovery.lua"], rollout)
    return found


def defined() -> dict[str, str]:
    """The script of each action, by name."""
    return {one["name"]: one["action.lua"] for one in _actions()["definitions"]}


def ask(action: str, rollout: Object) -> Object:
    """What Argo CD creates when somebody presses a button."""
    (impacted,) = _run(defined()[action], rollout)
    assert impacted["operation"] == "create"
    created: Object = impacted["resource"]
    return created


@functools.cache
def _actions() -> Object:
    actions: Object = yaml.safe_load(configured()[f"resource.customizations.actions.{_KIND}"])
    return actions


def _run(script: str, rollout: Object) -> Any:
    lua = LuaRuntime(register_eval=False, register_builtins=False)
    lua.execute(_AS_IN_ARGO_CD)
    lua.globals().obj = lua.table_from(rollout, recursive=True)
    return _from_lua(lua.execute(script))


def _from_lua(value: Any) -> Any:
    if lua_type(value) != "table":
        return value
    items = dict(value.items())
    if set(items) == set(range(1, len(items) + 1)):
        return [_from_lua(items[place]) for place in sorted(items)]
    return {key: _from_lua(below) for key, below in items.items()}
