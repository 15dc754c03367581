// Package countingstore is a store on loopback that counts what it is asked, and is slow or broken on demand.
//
// It takes documents (Put, Remove) and faults (Delay, Fail) and serves the documents in three dialects: the paths of Vault's KV
// version 2 that a client with a token needs (lookup-self, the mount, data), plain JSON under /plain/<key> for webhook
// providers, and what AWS's SDKs ask of Secrets Manager and STS to read values by the role of a ServiceAccount. Requests tells what was asked and when it was answered. It is a goroutine of whoever starts it, so that its
// CPU time is none of the controller's.
package countingstore
