package gcp

import (
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// Validate implements providers.Provider.
func (Provider) Validate(cfg providers.Config) []providers.Problem {
	spec, ok := cfg.Spec.(*stores.GCPSM)
	if !ok || spec == nil {
		return []providers.Problem{{Field: "gcpsm", Message: "is required"}}
	}
	var c credential.Checks
	if spec.ProjectID != "" && !isProjectName(spec.ProjectID) {
		c.Add("projectID", "must be the ID or number of a project")
	}
	if spec.Location != "" && !locations.MatchString(spec.Location) {
		c.Add("location", "must be the name of a region, such as europe-west3")
	}
	switch spec.SecretVersionSelectionPolicy {
	case "", stores.GCPLatestOrFail, stores.GCPLatestOrFetch:
	default:
		c.Add("secretVersionSelectionPolicy", "must be LatestOrFail or LatestOrFetch")
	}
	switch auth := spec.Auth; {
	case auth.SecretRef != nil:
		c.Selector("auth.secretRef.secretAccessKeySecretRef", auth.SecretRef.SecretAccessKey, false)
		if spec.ProjectID == "" {
			c.Add("projectID", "is required with auth.secretRef")
		}
	case auth.WorkloadIdentity != nil:
		checkWorkloadIdentity(&c, auth.WorkloadIdentity)
	case auth.WorkloadIdentityFederation != nil:
		checkFederation(&c, auth.WorkloadIdentityFederation)
	}
	return c.Problems
}

func checkWorkloadIdentity(c *credential.Checks, wi *stores.GCPWorkloadIdentity) {
	const field = "auth.workloadIdentity."
	c.Account(field+"serviceAccountRef", wi.ServiceAccountRef)
	if wi.ClusterProjectID != "" && !isProjectName(wi.ClusterProjectID) {
		c.Add(field+"clusterProjectID", "must be the ID of a project")
	}
	if wi.ClusterLocation != "" && !locations.MatchString(wi.ClusterLocation) {
		c.Add(field+"clusterLocation", "must be the name of a zone or region")
	}
	if wi.ClusterName != "" && !locations.MatchString(wi.ClusterName) {
		c.Add(field+"clusterName", "must be the name of a cluster")
	}
}

func checkFederation(c *credential.Checks, wif *stores.GCPWorkloadIdentityFederation) {
	const field = "auth.workloadIdentityFederation"
	sources := 0
	if wif.CredConfig != nil {
		sources++
		if wif.CredConfig.Name == "" || wif.CredConfig.Key == "" {
			c.Add(field+".credConfig", "must name a ConfigMap and its key")
		}
	}
	if wif.ServiceAccountRef != nil {
		sources++
		c.Account(field+".serviceAccountRef", *wif.ServiceAccountRef)
	}
	if aws := wif.AWSSecurityCredentials; aws != nil {
		sources++
		if aws.AWSCredentialsSecretRef.Name == "" {
			c.Add(field+".awsSecurityCredentials.awsCredentialsSecretRef.name", "is required; name a Secret")
		}
		if !locations.MatchString(aws.Region) {
			c.Add(field+".awsSecurityCredentials.region", "must be the name of a region of AWS")
		}
	}
	if sources != 1 {
		c.Add(field, "must hold exactly one of credConfig, serviceAccountRef and awsSecurityCredentials")
	}
	if wif.CredConfig == nil && wif.Audience == "" {
		c.Add(field+".audience", "is required with serviceAccountRef and awsSecurityCredentials: the resource name of the pool's provider")
	}
	if email := wif.GCPServiceAccountEmail; email != "" && !emails.MatchString(email) {
		c.Add(field+".gcpServiceAccountEmail", "must be the email address of a Google service account")
	}
	if wif.ExternalTokenEndpoint != "" {
		c.Address(field+".externalTokenEndpoint", withoutQuery(wif.ExternalTokenEndpoint))
	}
}
