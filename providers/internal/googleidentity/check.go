package googleidentity

import (
	"fmt"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// Ambient says that a login by spec takes the controller's own identity, nil when it does not; field is its path.
func Ambient(field string, spec stores.GCPAuth) *providers.Ambient {
	if spec.SecretRef != nil || spec.WorkloadIdentity != nil || spec.WorkloadIdentityFederation != nil {
		return nil
	}
	return &providers.Ambient{Field: field, Instead: fmt.Sprintf("set %[1]s.workloadIdentity.serviceAccountRef or %[1]s.secretRef", field)}
}

// CheckAuth checks what Login.Of takes; field is its path.
func CheckAuth(c *credential.Checks, field string, spec stores.GCPAuth) {
	switch {
	case spec.SecretRef != nil:
		c.Selector(field+".secretRef.secretAccessKeySecretRef", spec.SecretRef.SecretAccessKey, false)
	case spec.WorkloadIdentity != nil:
		checkWorkloadIdentity(c, field, spec.WorkloadIdentity)
	case spec.WorkloadIdentityFederation != nil:
		checkFederation(c, field, spec.WorkloadIdentityFederation)
	}
}

func checkWorkloadIdentity(c *credential.Checks, field string, wi *stores.GCPWorkloadIdentity) {
	field += ".workloadIdentity."
	c.Account(field+"serviceAccountRef", wi.ServiceAccountRef)
	if wi.ClusterProjectID != "" && !IsProjectName(wi.ClusterProjectID) {
		c.Add(field+"clusterProjectID", "must be the ID of a project")
	}
	if wi.ClusterLocation != "" && !IsLocation(wi.ClusterLocation) {
		c.Add(field+"clusterLocation", "must be the name of a zone or region")
	}
	if wi.ClusterName != "" && !IsLocation(wi.ClusterName) {
		c.Add(field+"clusterName", "must be the name of a cluster")
	}
}

func checkFederation(c *credential.Checks, field string, wif *stores.GCPWorkloadIdentityFederation) {
	field += ".workloadIdentityFederation"
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
		if !IsLocation(aws.Region) {
			c.Add(field+".awsSecurityCredentials.region", "must be the name of a region of AWS")
		}
	}
	if sources != 1 {
		c.Add(field, "must hold exactly one of credConfig, serviceAccountRef and awsSecurityCredentials")
	}
	if wif.CredConfig == nil && wif.Audience == "" {
		c.Add(field+".audience", "is required with serviceAccountRef and awsSecurityCredentials: the resource name of the pool's provider")
	}
	if email := wif.GCPServiceAccountEmail; email != "" && !IsEmail(email) {
		c.Add(field+".gcpServiceAccountEmail", "must be the email address of a Google service account")
	}
	if wif.ExternalTokenEndpoint != "" {
		c.Address(field+".externalTokenEndpoint", withoutQuery(wif.ExternalTokenEndpoint))
	}
}
