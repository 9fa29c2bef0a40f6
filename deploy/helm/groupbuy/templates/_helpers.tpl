{{- define "groupbuy.labels" -}}
app.kubernetes.io/name: groupbuy
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "groupbuy.image" -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag }}{{ end }}
{{- end }}

{{/* Every deployment of workers, as JSON: each entry of .Values.workers, of the present version and of those that are kept. */}}
{{- define "groupbuy.workers" -}}
{{- $image := .Values.image }}
{{- $versions := list (dict "buildId" .Values.workerVersion.buildId "image" $image) }}
{{- range .Values.workerVersion.earlier }}
{{- $kept := dict "repository" $image.repository "tag" .tag "digest" .digest }}
{{- $versions = append $versions (dict "buildId" .buildId "image" $kept) }}
{{- end }}
{{- $workers := list }}
{{- range $version := $versions }}
{{- range $name, $worker := $.Values.workers }}
{{- $named := $name }}
{{- if $version.buildId }}{{ $named = printf "%s-%s" $name (regexReplaceAll "[^a-z0-9]+" (lower $version.buildId) "-") }}{{ end }}
{{- $workers = append $workers (merge (dict "name" $named) $version $worker) }}
{{- end }}
{{- end }}
{{- toJson $workers }}
{{- end }}

{{- define "groupbuy.podSecurity" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "groupbuy.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The environment of API and workers. */}}
{{- define "groupbuy.environment" -}}
- name: GROUPBUY_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.secrets.database }}, key: url}}
{{- if .Values.databaseCa }}
- {name: PGSSLROOTCERT, value: /etc/groupbuy/database/ca.crt}
{{- end }}
{{- if .Values.secrets.amqp }}
- name: GROUPBUY_AMQP_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.secrets.amqp }}, key: url}}
{{- end }}
- {name: TEMPORAL_ADDRESS, value: {{ .Values.temporal.address | quote }}}
- {name: TEMPORAL_NAMESPACE, value: {{ .Values.temporal.namespace | quote }}}
{{- if .Values.secrets.temporal }}
- name: TEMPORAL_API_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.secrets.temporal }}, key: apiKey}}
{{- end }}
{{- if .Values.secrets.payloads }}
- name: GROUPBUY_PAYLOAD_KEYS
  valueFrom: {secretKeyRef: {name: {{ .Values.secrets.payloads }}, key: keys}}
{{- end }}
{{- if .Values.secrets.temporalTls }}
- {name: TEMPORAL_TLS_CLIENT_CERT_PATH, value: /etc/groupbuy/temporal/tls.crt}
- {name: TEMPORAL_TLS_CLIENT_KEY_PATH, value: /etc/groupbuy/temporal/tls.key}
{{- if .Values.temporal.ownAuthority }}
- {name: TEMPORAL_TLS_SERVER_CA_CERT_PATH, value: /etc/groupbuy/temporal/ca.crt}
{{- end }}
{{- end }}
{{- if .Values.temporal.serverName }}
- {name: TEMPORAL_TLS_SERVER_NAME, value: {{ .Values.temporal.serverName | quote }}}
{{- end }}
{{- if .Values.temporal.uiUrl }}
- {name: GROUPBUY_TEMPORAL_UI_URL, value: {{ .Values.temporal.uiUrl | quote }}}
{{- end }}
{{- if .Values.temporal.consoleUrl }}
- {name: GROUPBUY_CONSOLE_URL, value: {{ .Values.temporal.consoleUrl | quote }}}
{{- end }}
- {name: GROUPBUY_METRICS_PORT, value: "9100"}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "groupbuy.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .Values.databaseCa }}
- {name: database-ca, mountPath: /etc/groupbuy/database, readOnly: true}
{{- end }}
{{- if .Values.secrets.temporalTls }}
- {name: temporal-tls, mountPath: /etc/groupbuy/temporal, readOnly: true}
{{- end }}
{{- end }}

{{- define "groupbuy.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- if .Values.databaseCa }}
- name: database-ca
  configMap: {name: {{ .Values.databaseCa }}}
{{- end }}
{{- if .Values.secrets.temporalTls }}
- name: temporal-tls
  secret: {secretName: {{ .Values.secrets.temporalTls }}}
{{- end }}
{{- end }}
