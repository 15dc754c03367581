package providers

// Ambient is an identity that a store does not name: one that its provider finds around the process that opens the session, in
// its environment, its files or the metadata service of its node, and that is the controller's own.
type Ambient struct {
	// Field is the path below spec.provider.<name> of what leaves the identity to the controller, for example "auth".
	Field string
	// Instead is what to do in the store to name one, without a trailing period, for example "set auth.secretRef".
	Instead string
}
