{{/* Name of everything in the release: the release's own, with the chart's added where it does not say it. */}}
{{- define "modelrollout.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "modelrollout.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "modelrollout.labels" -}}
{{ include "modelrollout.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "modelrollout.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "modelrollout.name" .) }}
{{- else -}}
{{ required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{/* Who the roles are bound to. */}}
{{- define "modelrollout.subjects" -}}
- kind: ServiceAccount
  name: {{ include "modelrollout.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* Where the Secrets by which Prometheus is reached are mounted. */}}
{{- define "modelrollout.prometheusFolder" -}}
/etc/modelrollout/prometheus
{{- end }}

{{/* How a Prometheus is reached, in the operator's words: what is in a Secret is a file. Takes a name and values. */}}
{{- define "modelrollout.prometheusAccess" -}}
{{- range $key, $value := omit .values "sources" }}
{{- if and $value (hasSuffix "Secret" $key) }}
{{ trimSuffix "Secret" $key }}File: {{ include "modelrollout.prometheusFolder" $ }}/{{ $.name }}/{{ $key }}
{{- else if $value }}
{{ $key }}: {{ toJson $value }}
{{- end }}
{{- end }}
{{- end }}

{{/* The further ones, as the file that the operator reads. */}}
{{- define "modelrollout.prometheusSources" -}}
{{- $sources := list }}
{{- range .Values.prometheus.sources }}
{{- $sources = append $sources (include "modelrollout.prometheusAccess" (dict "name" .name "values" .) | fromYaml) }}
{{- end }}
{{- dict "sources" $sources | toYaml }}
{{- end }}

{{/* What is mounted for all of them, as sources of a projected volume. */}}
{{- define "modelrollout.prometheusFiles" -}}
{{- include "modelrollout.secrets" (dict "name" "default" "values" .Values.prometheus) }}
{{- range .Values.prometheus.sources }}
{{- include "modelrollout.secrets" (dict "name" .name "values" .) }}
{{- end }}
{{- if .Values.prometheus.sources }}
- configMap:
    name: {{ include "modelrollout.name" . }}-prometheus
    items:
      - key: sources.yaml
        path: sources.yaml
{{- end }}
{{- end }}

{{- define "modelrollout.alertsFolder" -}}
/etc/modelrollout/alerts
{{- end }}

{{/* Secrets as sources of a projected volume, each at NAME/KEY of the values. Takes a name and values. */}}
{{- define "modelrollout.secrets" -}}
{{- range $key, $value := .values }}
{{- if and $value (hasSuffix "Secret" $key) }}
- secret:
    name: {{ $value.name }}
    items:
      - key: {{ $value.key | quote }}
        path: {{ $.name }}/{{ $key }}
{{- end }}
{{- end }}
{{- end }}
