-- What can be asked for in Argo CD, and what of it makes sense now. The operator has the last word: what it refuses
-- says why in its own status.
--
-- Approvals and signed-off checklists are not among these: they are worth something because they say who gave them, and
-- Argo CD is the same account to Kubernetes whoever presses the button.

local status = obj.status or {}
local seen = status.phase ~= nil
local under_way = status.phase == "Preparing" or status.phase == "Progressing"
local on_its_way_back = status.wayBack ~= nil
local killed = status.killed ~= nil
local stable = status.stable
local asked_for = status.phase == "Reverted" or stable == nil or stable.version ~= obj.spec.model.version
local could_start = seen and asked_for and status.candidate == nil and status.previous == nil and not killed

local function action(name, icon, enabled)
  return { displayName = name, iconClass = "fa fa-fw fa-" .. icon, disabled = not enabled }
end

return {
  pause = action("Pause", "pause", seen and status.held == nil),
  resume = action("Resume", "play", status.held ~= nil),
  advance = action("Leave this stage", "step-forward", status.phase == "Progressing" and status.stage ~= nil),
  promote = action("Promote now", "fast-forward", under_way or could_start),
  abort = action("Abort this attempt", "stop", under_way or on_its_way_back),
  revert = action("Go back to the version before", "undo", under_way or on_its_way_back or status.previous ~= nil),
  retry = action("Try again", "redo", status.phase == "Reverted"),
  kill = action("Kill switch: back to stable, nothing new", "power-off", seen and not killed),
  lift = action("Lift the kill switch", "unlock", killed),
}
