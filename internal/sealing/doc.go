// Package sealing turns Secrets into SealedSecrets and back, the way kubeseal v0.40.0 does.
//
// It takes manifests as text and keys, and returns manifests as text or an *Error that says which document is wrong and
// what to do, without a value. It reads no file, asks no cluster and prints nothing: the command line around it does.
package sealing
