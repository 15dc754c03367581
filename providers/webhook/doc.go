// Package webhook is the provider for HTTP APIs that have no provider of their own.
//
// It takes the request that a store describes (*stores.Webhook), fills its templates with the key that is asked for and
// with Secrets that are labelled for it, and gives back the answer as a document, of which result.jsonPath selects the
// value. The dialect is that of External Secrets Operator's provider of the same name; docs/providers/webhook.md says
// where it differs.
//
//	url, headers, body ─► render ─► request ─► answer ─► document ─► result.jsonPath ─► value
//	                        └─ remoteRef, labelled Secrets       (pure from here on)
package webhook
