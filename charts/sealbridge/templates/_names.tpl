{{- /* Begins the names of all objects; short enough for "-controller" in a label. */ -}}
{{- define "sealbridge.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Of the Deployment and of the Service that kubeseal looks for. */ -}}
{{- define "sealbridge.controller" -}}
{{ include "sealbridge.fullname" . }}-controller
{{- end -}}

{{- define "sealbridge.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "sealbridge.controller" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- /* By which the pods of this release are found. */ -}}
{{- define "sealbridge.selectorLabels" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default .Chart.Name | trunc 52 | trimSuffix "-" }}-controller
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sealbridge.labels" -}}
{{ include "sealbridge.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The namespaces that are served, as a JSON list; of all when it is empty. */ -}}
{{- define "sealbridge.watched" -}}
{{- $watched := .Values.watchNamespaces -}}
{{- with .Values.scopedNamespace -}}
{{- $watched = append $watched . -}}
{{- end -}}
{{- if and .Values.scopedRBAC (not $watched) -}}
{{- $watched = list .Release.Namespace -}}
{{- end -}}
{{- $watched | uniq | toJson -}}
{{- end -}}
