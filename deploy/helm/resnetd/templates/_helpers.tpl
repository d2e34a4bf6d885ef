{{- /* The release's own name; where it says what it is already, once. */ -}}
{{- define "resnetd.name" -}}
{{- ternary .Release.Name (printf "%s-resnetd" .Release.Name) (contains "resnetd" .Release.Name) | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "resnetd.selector" -}}
app.kubernetes.io/name: resnetd
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "resnetd.labels" -}}
{{ include "resnetd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* A list of maps as TOML's inline tables: JSON has colons where TOML has equals signs. */ -}}
{{- define "resnetd.tables" -}}
[{{ range $place, $table := . }}{{ if $place }}, {{ end }}{ {{ range $index, $key := keys $table | sortAlpha }}{{ if $index }}, {{ end }}{{ $key }} = {{ get $table $key | toJson }}{{ end }} }{{ end }}]
{{- end -}}
