{{- /* The arguments of the controller, as a YAML list. */ -}}
{{- define "sealbridge.arguments" -}}
{{- $watched := include "sealbridge.watched" . | fromJsonArray -}}
{{- $controllers := list -}}
{{- $off := list -}}
{{- range $name, $on := .Values.controllers -}}
{{- if not $on -}}
{{- $off = append $off $name -}}
{{- else if not (and $watched (eq $name "clusterexternalsecret")) -}}
{{- $controllers = append $controllers $name -}}
{{- end -}}
{{- end -}}
{{- if not $controllers -}}
{{- fail "controllers: all are switched off; leave one of them true" -}}
{{- end -}}
{{- if and (gt (int .Values.replicaCount) 1) (not .Values.leaderElect) -}}
{{- fail (printf "replicaCount: %d replicas would all write: set leaderElect to true, or replicaCount to 1" (int .Values.replicaCount)) -}}
{{- end -}}
{{- $args := list -}}
{{- if .Values.leaderElect -}}
{{- $args = append $args "--leader-elect" -}}
{{- /* Another controller in the same namespace has a lease of its own. */ -}}
{{- if ne (include "sealbridge.controller" .) "sealbridge-controller" -}}
{{- $args = append $args (print "--leader-election-id=" (include "sealbridge.controller" .)) -}}
{{- end -}}
{{- end -}}
{{- if .Values.requireServiceAccount -}}
{{- $args = append $args "--require-service-account" -}}
{{- end -}}
{{- if not .Values.secretStoreAmbientCredentials -}}
{{- $args = append $args "--secret-store-ambient-credentials=false" -}}
{{- end -}}
{{- if not .Values.clusterSecretStoreAmbientCredentials -}}
{{- $args = append $args "--cluster-secret-store-ambient-credentials=false" -}}
{{- end -}}
{{- if $off -}}
{{- $args = append $args (print "--controllers=" (join "," $controllers)) -}}
{{- end -}}
{{- with $watched -}}
{{- $args = append $args (print "--watch-namespaces=" (join "," .)) -}}
{{- end -}}
{{- with .Values.controllerClass -}}
{{- $args = append $args (print "--controller-class=" .) -}}
{{- end -}}
{{- with .Values.concurrent -}}
{{- $args = append $args (print "--concurrent=" (int .)) -}}
{{- end -}}
{{- with .Values.storeRequeueInterval -}}
{{- $args = append $args (print "--store-requeue-interval=" .) -}}
{{- end -}}
{{- if ne .Values.log.level "info" -}}
{{- $args = append $args (print "--log-level=" .Values.log.level) -}}
{{- end -}}
{{- if ne .Values.log.format "json" -}}
{{- $args = append $args (print "--log-format=" .Values.log.format) -}}
{{- end -}}
{{- range $flag, $value := .Values.extraArgs -}}
{{- if kindIs "slice" $value -}}
{{- $value = join "," $value -}}
{{- else if not (kindIs "string" $value) -}}
{{- $value = toJson $value -}}
{{- end -}}
{{- $args = append $args (printf "--%s=%s" $flag $value) -}}
{{- end -}}
{{- toYaml $args -}}
{{- end -}}
