// Package aws is the provider for AWS Secrets Manager, Systems Manager Parameter Store and Certificate Manager.
//
// It takes *stores.AWS and what the process it runs in says about AWS (Environment), obtains credentials once, when a session
// is opened, and gives back sessions that read documents by name or ARN until these credentials end (providers.Expirer). The
// SDK builds, signs and reads requests; they go through package jsonhttp, one attempt each, so that answers are bounded and
// errors say nothing that AWS or a proxy wrote.
package aws
