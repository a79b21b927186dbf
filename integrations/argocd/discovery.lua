-- What can be asked for in Argo CD, and what of it makes sense now. The operator has the last word: what it refuses
-- says why in its own status.
--
-- Approvals and signed-off checklists are not among these: they are worth something because they say who gave them, and
-- Argo CD is the same account to Kubernetes whoever presses the button.

local status = obj.status or {}
local stable = status.stable
local under_way = status.phase == "Preparing" or status.phase == "Progressing"
local before = stable ~= nil and (under_way or stable.attempt > 1)

local function action(name, icon, enabled)
  return { displayName = name, iconClass = "fa fa-fw fa-" .. icon, disabled = not enabled }
end

return {
  pause = action("Pause", "pause", under_way and status.held == nil),
  resume = action("Resume", "play", status.held ~= nil),
  advance = action("Leave this stage", "step-forward", status.phase == "Progressing" and status.stage ~= nil),
  promote = action("Promote now", "fast-forward", under_way),
  abort = action("Abort this attempt", "stop", under_way),
  revert = action("Go back to the version before", "undo", before),
  retry = action("Try again", "redo", status.phase == "Reverted"),
  kill = action("Kill switch: back to stable, nothing new", "power-off", stable ~= nil and status.killed == nil),
  lift = action("Lift the kill switch", "unlock", status.killed ~= nil),
}
