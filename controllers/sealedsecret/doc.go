// Package sealedsecret materializes SealedSecrets into Secrets.
//
// It takes SealedSecret objects and the current ring of sealing keys, and writes for each the Secret that it says: all
// keys or none, with the templates of spec.template.data rendered, owned by the SealedSecret, refusing to touch a Secret
// that belongs to somebody else. Out come the conditions Synced (always first) and Ready, events, and nothing at all for
// an object that is up to date: no private-key operation, no read and no write.
//
//	SealedSecret ─┐                               ┌─ create  (no Secret yet)
//	its Secret   ─┼─► current? ► open ► render ► write ─ update (ours: replace)
//	sealing keys ─┘      │                        └─ apply   (annotated patch: add to it)
//	                     └─► nothing to do
//
// docs/spec/sealedsecret.md says how it behaves, docs/design/0005-sealedsecret.md why it is as it is.
package sealedsecret
