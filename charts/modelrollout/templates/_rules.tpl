{{/* What the operator does in the namespaces that it looks after, and nothing more. */}}
{{- define "modelrollout.rules" -}}
- apiGroups: [modelrollout.io]
  resources: [modelrollouts]
  verbs: [get, list, watch, patch]
- apiGroups: [modelrollout.io]
  resources: [rolloutactions]
  verbs: [get, list, watch]
- apiGroups: [modelrollout.io]
  resources: [modelrollouts/status, rolloutactions/status]
  verbs: [update]
- apiGroups: [modelrollout.io]
  resources: [rolloutreports]
  verbs: [get, list, create, patch, delete]
# To own objects (deletionPolicy: Delete) where the API server asks for the right to block the deletion of their owner.
- apiGroups: [modelrollout.io]
  resources: [modelrollouts/finalizers]
  verbs: [update]
# Of Deployments that it has not made it reads those that a workloadRef names, and scales them to 0, once.
- apiGroups: [apps]
  resources: [deployments, controllerrevisions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
# Where spec.disruptionBudget asks for them. The watch is for those of the operator alone.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# What templates name is copied for each attempt. Of all others the watch asks for nothing but metadata.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
{{- if .Values.copies.secrets }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
# Warm-up requests and direct scrapes go to each pod, and pods of candidates tell why they crash; of pods that wait for a
# node, the watch tells what the scheduler says.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways]
  verbs: [list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* What only an operator for the whole cluster can see: which kinds and which classes of gateways there are. */}}
{{- define "modelrollout.clusterRules" -}}
- apiGroups: [gateway.networking.k8s.io]
  resources: [gatewayclasses]
  verbs: [list, watch]
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [list, watch]
{{ include "modelrollout.guardRules" . }}
{{- end }}

{{/* Whether the API server checks who asks for what: without that, approvals are not believed. */}}
{{- define "modelrollout.guardRules" -}}
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingadmissionpolicies, validatingadmissionpolicybindings]
  verbs: [list, watch]
{{- end }}

{{/* What it takes to see what is to be approved and to ask for the verbs given. */}}
{{- define "modelrollout.approverRules" -}}
- apiGroups: [modelrollout.io]
  resources: [modelrollouts, rolloutreports]
  verbs: [get, list, watch]
- apiGroups: [modelrollout.io]
  resources: [rolloutactions]
  verbs: [get, list, watch, create]
- apiGroups: [modelrollout.io]
  resources: [modelrollouts]
  verbs: {{ toJson . }}
{{- end }}

{{/* In its own namespace: to agree with the other replicas on the one that acts. Nobody can be allowed to create by name. */}}
{{- define "modelrollout.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "modelrollout.name" . }}]
  verbs: [get, patch]
{{- end }}
