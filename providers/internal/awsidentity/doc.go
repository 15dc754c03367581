// Package awsidentity logs in to AWS for the providers that need an identity there, and asks AWS as one.
//
// Login takes what a store names (access keys in a Secret, a ServiceAccount that is annotated with its role, or nothing for
// the controller's own identity, and roles to assume) and gives back credentials, once: nothing is kept or renewed here.
// Caller is what clients of the SDK are made of: where AWS is, no retries, no log. Its errors are made from the code of
// AWS's answer and never from its text, and of a class of package providers. Where AWS is says an Environment, which
// providers/builtin reads.
package awsidentity
