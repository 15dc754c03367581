package aws

import "github.com/sealbridge/sealbridge/providers/internal/awsidentity"

// Environment is what the process knows about AWS apart from stores.
type Environment = awsidentity.Environment

// Endpoints are the addresses of AWS services; an empty one is AWS's own.
type Endpoints = awsidentity.Endpoints

// ReadEnvironment reads the variables that say where AWS is, for this provider and those that log in with an identity of
// AWS elsewhere. lookup is os.LookupEnv.
func ReadEnvironment(lookup func(string) (string, bool)) Environment {
	return awsidentity.ReadEnvironment(lookup)
}
