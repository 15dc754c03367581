package v1alpha1

// The annotations of Sealed Secrets. Each counts only with the value "true".
const (
	// AnnotationClusterWide on a SealedSecret: it may be opened under any name in any namespace. It wins over
	// AnnotationNamespaceWide.
	AnnotationClusterWide = "sealedsecrets.bitnami.com/cluster-wide"

	// AnnotationNamespaceWide on a SealedSecret: it may be opened under any name in its namespace.
	AnnotationNamespaceWide = "sealedsecrets.bitnami.com/namespace-wide"

	// AnnotationManaged on an existing Secret: the SealedSecret of the same name may take it over.
	AnnotationManaged = "sealedsecrets.bitnami.com/managed"

	// AnnotationPatch on an existing Secret: the SealedSecret of the same name may add to it, and keeps what else is there.
	AnnotationPatch = "sealedsecrets.bitnami.com/patch"

	// AnnotationSkipSetOwnerReferences on a template: the Secret gets no owner and outlives its SealedSecret.
	AnnotationSkipSetOwnerReferences = "sealedsecrets.bitnami.com/skip-set-owner-references"
)

const (
	// LabelSealingKey marks the Secrets that hold sealing keys.
	LabelSealingKey = "sealedsecrets.bitnami.com/sealed-secrets-key"
	// LabelNativeKey marks the Secrets that hold sealing keys of the native format. It is another label than LabelSealingKey
	// because Sealed Secrets, which may run beside, takes each Secret with that one for an RSA key.
	LabelNativeKey = "sealbridge.dev/sealing-key"
	// SealingKeyActive is the value of LabelSealingKey and LabelNativeKey on keys that may open; any other value retires a key.
	SealingKeyActive = "active"
	// SealingKeyNamespaced is the value of LabelSealingKey and LabelNativeKey on keys that may open in the namespaces of
	// AnnotationKeyNamespaces alone. Sealed Secrets takes them for no keys of its own.
	SealingKeyNamespaced = "namespaced"
	// AnnotationKeyNamespaces on a key Secret with SealingKeyNamespaced: the names of namespaces, with commas between.
	AnnotationKeyNamespaces = "sealbridge.dev/namespaces"
	// AnnotationCommonKeys on such a key Secret: whether the keys of all namespaces open there too; CommonKeysDeny
	// when it is missing.
	AnnotationCommonKeys = "sealbridge.dev/common-keys"
	// CommonKeysAllow lets the keys of all namespaces open there too.
	CommonKeysAllow = "allow"
	// CommonKeysDeny leaves the namespace to its own keys.
	CommonKeysDeny = "deny"
	// SealingKeyCompromised is the value of LabelSealingKey and LabelNativeKey on keys that must not be used any more.
	SealingKeyCompromised = "compromised"
	// IdentityKey is the key of a Secret with LabelNativeKey under which the identity file of age is.
	IdentityKey = "identity.txt"
	// RecipientKey is the key of such a Secret under which the recipient is, which is public.
	RecipientKey = "recipient.txt"
	// LabelSealedBy marks each Secret that was made from a SealedSecret with the SealedSecret's UID, and SharedSuffix after it
	// where the Secret was only added to. The watch for drift selects by it, the UID alone is the ownership of a Secret that was made
	// without an owner reference, and no such Secret counts as a sealing key from before LabelSealingKey.
	LabelSealedBy = "sealbridge.dev/sealed-by"
	// SharedSuffix ends the value of LabelSealedBy on Secrets of others.
	SharedSuffix = ".shared"
)
