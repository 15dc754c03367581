// Package credential reads what a store's configuration names as credentials, and checks those names.
//
// It takes the selectors of package stores and the Env that the host lends, and gives back bytes, certificates and tokens,
// or errors that name the field at fault and what is missing. A credential that does not exist is ErrUnavailable and never
// ErrNotFound, which is only for documents of the backend: deletion policies act on it.
package credential
