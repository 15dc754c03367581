package v1

// What External Secrets Operator writes on objects. Ours are the same, byte for byte, so that taking over a cluster
// rewrites no Secret.
const (
	// LabelManaged is set to "true" on each Secret that an ExternalSecret maintains.
	LabelManaged = "reconcile.external-secrets.io/managed"

	// LabelCreatedBy marks a Secret of creationPolicy Owner: the SHA3-224 of "<namespace>/<name>" of its ExternalSecret, in
	// hex.
	LabelCreatedBy = "reconcile.external-secrets.io/created-by"

	// AnnotationDataHash is the SHA3-224 of a Secret's data as fmt prints it with %+v, in hex.
	AnnotationDataHash = "reconcile.external-secrets.io/data-hash"

	// AnnotationInputs is on targets that something made which is random or looks at the clock. It binds the target's data to
	// what they were made from, by a key that only the controller has. On a target that several share, a dot and a hash of the
	// ExternalSecret's name follow. It is SealBridge's own.
	AnnotationInputs = "externalsecret.sealbridge.dev/inputs"

	// AnnotationForceSync is the annotation that users set to any new value to refresh at once; a change of any other
	// annotation or label does the same.
	AnnotationForceSync = "external-secrets.io/force-sync"

	// AnnotationIgnoreMaintenanceChecks on a store silences the warning that its provider is not maintained.
	AnnotationIgnoreMaintenanceChecks = "external-secrets.io/ignore-maintenance-checks"

	// LabelType marks the Secrets that a webhook provider may use, with the value TypeWebhook.
	LabelType = "external-secrets.io/type"
	// TypeWebhook is the value of LabelType on credentials for the webhook provider.
	TypeWebhook = "webhook"

	// FinalizerExternalSecret is the finalizer on ExternalSecrets whose Secret has to be deleted with them.
	FinalizerExternalSecret = "externalsecrets.external-secrets.io/externalsecret-cleanup"

	// FinalizerClusterExternalSecret is the finalizer on ClusterExternalSecrets that External Secrets Operator serves.
	FinalizerClusterExternalSecret = "externalsecrets.external-secrets.io/clusterexternalsecret-cleanup"

	// FinalizerNamespacePrefix begins the finalizer that External Secrets Operator puts on the Namespaces of a
	// ClusterExternalSecret, whose name follows.
	FinalizerNamespacePrefix = "externalsecrets.external-secrets.io/ces-"

	// FieldOwnerOperator is the field manager of the objects that External Secrets Operator updates.
	FieldOwnerOperator = "external-secrets"

	// FieldOwnerPrefix is what the field manager of a Secret starts with; the name of its ExternalSecret follows.
	FieldOwnerPrefix = "externalsecrets.external-secrets.io/"
)
