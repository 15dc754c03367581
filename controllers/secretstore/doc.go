// Package secretstore says of each SecretStore and ClusterSecretStore whether it can be used.
//
// It takes a store and the pool of sessions, validates the configuration, opens the session that the store's users will
// share and asks the backend whether it accepts the identity. It gives back the condition Ready, the store's capabilities and
// an event when they change; ExternalSecrets do not ask a store that is not ready.
//
//	skip foreign ─► skip fresh ─► translate ─► validate ─► check ─► Ready
package secretstore
