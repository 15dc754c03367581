package aws

import (
	"slices"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// Validate implements providers.Provider.
func (Provider) Validate(cfg providers.Config) []providers.Problem {
	spec, ok := cfg.Spec.(*stores.AWS)
	if !ok || spec == nil {
		return []providers.Problem{{Field: "aws", Message: "is required"}}
	}
	var c credential.Checks
	switch spec.Service {
	case stores.AWSSecretsManager, stores.AWSParameterStore, stores.AWSCertificateManager:
	default:
		c.Add("service", "must be SecretsManager, ParameterStore or CertificateManager")
	}
	awsidentity.CheckRegion(&c, "region", spec.Region)
	awsidentity.CheckAuth(&c, "auth", spec.Auth.JWT, spec.Auth.SecretRef)
	checkRoles(&c, spec)
	if o := spec.SecretsManager; o != nil {
		switch {
		case o.RecoveryWindowInDays != 0 && (o.RecoveryWindowInDays < 7 || o.RecoveryWindowInDays > 30):
			c.Add("secretsManager.recoveryWindowInDays", "must be between 7 and 30")
		case o.RecoveryWindowInDays != 0 && o.ForceDeleteWithoutRecovery:
			c.Add("secretsManager.forceDeleteWithoutRecovery", "must not be set together with recoveryWindowInDays")
		}
	}
	return c.Problems
}

// Ambient implements providers.Provider: without auth the SDK's default chain is asked, also for roles to be assumed with.
func (Provider) Ambient(cfg providers.Config) *providers.Ambient {
	spec, ok := cfg.Spec.(*stores.AWS)
	if !ok || spec == nil {
		return nil
	}
	return awsidentity.Ambient("auth", spec.Auth.JWT, spec.Auth.SecretRef)
}

func checkRoles(c *credential.Checks, spec *stores.AWS) {
	if slices.Contains(spec.AdditionalRoles, "") {
		c.Add("additionalRoles", "must not hold an empty role")
	}
	switch spec.SessionTagsPolicy {
	case "", stores.AWSSessionTagsNone, stores.AWSSessionTagsSimple, stores.AWSSessionTagsCustom:
	default:
		c.Add("sessionTagsPolicy", "must be None, Simple or Custom")
	}
}
