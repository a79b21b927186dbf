-- How Argo CD sees a ModelRollout: `obj`. It opens only the base and table libraries of Lua 5.1 for this.
--
-- Healthy is exactly what kstatus calls Current, so Argo CD, Flux and `kubectl wait --for=condition=Ready` agree: a
-- version serves and nothing needs a person, however long a canary takes. A pause is Suspended only where somebody waits
-- for the whole rollout (`readyWhen: Complete`): Argo CD holds waves and hooks while a resource is Suspended, and syncs
-- nothing else by itself meanwhile, so that a pause from Git could not be ended from Git.

-- Nothing is wrong, and nothing goes on before a person has spoken.
local asks = { Paused = true, AwaitingApproval = true, Killed = true }

local function condition(kind)
  for _, one in ipairs(obj.status.conditions or {}) do
    if one.type == kind then
      return one
    end
  end
  return {}
end

local function health(status, message)
  return { status = status, message = message or "" }
end

if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "the operator has not acted on this yet")
end

local ready, progressing, stalled = condition("Ready"), condition("Progressing"), condition("Stalled")

if stalled.status == "True" then
  return health("Degraded", stalled.message)
end
if ready.status == "True" then
  if progressing.status == "True" then
    return health("Healthy", ready.message .. "; version " .. obj.status.version .. ": " .. progressing.message)
  end
  return health("Healthy", ready.message)
end
if asks[ready.reason] or (ready.reason == "Incomplete" and asks[progressing.reason]) then
  return health("Suspended", ready.message)
end
if obj.status.stable == nil or ready.reason == "Incomplete" then
  return health("Progressing", ready.message)
end
return health("Degraded", ready.message)
