package v1alpha1

// The conditions of a GitSync, in the model of kstatus: Reconciling and Stalled are there only while they are True.
const (
	// ConditionReady is True when what is in Git, at status.revision, is what was applied.
	ConditionReady = "Ready"
	// ConditionReconciling is True while work on a new revision or a new generation is under way or is being repeated.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when nothing changes until somebody changes the GitSync or the repository.
	ConditionStalled = "Stalled"
	// ConditionHealthy is True when the applied objects that spec.wait or spec.healthChecks name are healthy.
	ConditionHealthy = "Healthy"
	// ConditionSourceVerified is True when the signature that spec.verify demands is good.
	ConditionSourceVerified = "SourceVerified"
)

// Reasons of the conditions and events of a GitSync. Those that Flux has too carry Flux's name.
const (
	// ReasonSucceeded: everything in Git was applied, and what is gone from it was pruned.
	ReasonSucceeded = "ReconciliationSucceeded"
	// ReasonProgressing: work is under way.
	ReasonProgressing = "Progressing"
	// ReasonProgressingWithRetry: the last attempt failed and is being repeated.
	ReasonProgressingWithRetry = "ProgressingWithRetry"
	// ReasonSuspended: spec.suspend is set.
	ReasonSuspended = "Suspended"
	// ReasonUnsupported: the spec uses a field that this version accepts and does not honour.
	ReasonUnsupported = "UnsupportedField"
	// ReasonInvalid: the spec cannot work until somebody changes it.
	ReasonInvalid = "InvalidConfiguration"
	// ReasonDependencyNotReady: a GitSync in spec.dependsOn is not ready.
	ReasonDependencyNotReady = "DependencyNotReady"

	// ReasonAuthenticationFailed: the credentials of spec.secretRef are missing or refused.
	ReasonAuthenticationFailed = "AuthenticationFailed"
	// ReasonGitOperationFailed: the repository cannot be reached or read.
	ReasonGitOperationFailed = "GitOperationFailed"
	// ReasonReferenceNotFound: the repository has no such branch, tag or commit.
	ReasonReferenceNotFound = "ReferenceNotFound"
	// ReasonRepositoryTooLarge: the repository is over the size that is read.
	ReasonRepositoryTooLarge = "RepositoryTooLarge"
	// ReasonVerificationFailed: the signature that spec.verify demands is missing or bad.
	ReasonVerificationFailed = "VerificationError"

	// ReasonPathNotFound: the revision has no spec.path.
	ReasonPathNotFound = "PathNotFound"
	// ReasonDecryptionFailed: an encrypted file cannot be opened, or was changed since it was encrypted.
	ReasonDecryptionFailed = "DecryptionFailed"
	// ReasonBuildFailed: the files in Git make no objects.
	ReasonBuildFailed = "BuildFailed"
	// ReasonPlaintextSecret: Git holds a Secret with plain values, which spec.plaintextSecrets denies.
	ReasonPlaintextSecret = "PlaintextSecret"
	// ReasonEmptyBuild: Git holds no objects where there were some, and spec.allowEmpty is not set.
	ReasonEmptyBuild = "EmptyBuild"

	// ReasonApplyFailed: an object was refused by the cluster.
	ReasonApplyFailed = "ReconciliationFailed"
	// ReasonOwnedByOther: an object in Git belongs to another GitSync or another tool.
	ReasonOwnedByOther = "OwnedByOther"
	// ReasonPruneFailed: an object that is gone from Git cannot be deleted.
	ReasonPruneFailed = "PruneFailed"
	// ReasonHealthy: the applied objects are healthy.
	ReasonHealthy = "HealthCheckSucceeded"
	// ReasonHealthCheckFailed: an applied object failed or did not become healthy in time.
	ReasonHealthCheckFailed = "HealthCheckFailed"
)
