-- An action in Argo CD asks the operator for something: it creates a RolloutAction. `make generate` makes one script of
-- this for each action, with a last line that says which.
--
-- BY is who asks, as the API server sees it. To Kubernetes that is Argo CD's server, whoever presses the button: what a
-- person may do is up to the RBAC of Argo CD, and its events name the person.

local BY = "system:serviceaccount:argocd:argocd-server"

local os = require("os")

local function ask(action, verb)
  local asked = {
    apiVersion = obj.apiVersion,
    kind = "RolloutAction",
    metadata = {
      name = obj.metadata.name .. "-" .. verb .. "-" .. os.date("!%Y%m%d%H%M%S"),
      namespace = obj.metadata.namespace,
      -- A child of the ModelRollout: shown below it, gone with it, and neither out of sync nor pruned.
      ownerReferences = {
        { apiVersion = obj.apiVersion, kind = obj.kind, name = obj.metadata.name, uid = obj.metadata.uid },
      },
    },
    spec = {
      rollout = obj.metadata.name,
      attempt = obj.status.attempt,
      action = action,
      by = BY,
      reason = "asked for in Argo CD",
    },
  }
  if action == "Advance" then
    asked.spec.stage = obj.status.stage.name
  end
  return { { operation = "create", resource = asked } }
end
