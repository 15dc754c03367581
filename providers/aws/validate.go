package aws

import (
	"slices"
	"strings"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
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
	checkRegion(&c, spec.Region)
	checkAuth(&c, spec.Auth)
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

// checkRegion looks at the form alone: which regions there are changes, and an own endpoint may have others. The region
// becomes part of a host name.
func checkRegion(c *credential.Checks, region string) {
	isPart := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' }
	switch {
	case region == "":
		c.Add("region", "is required; name a region such as eu-west-1")
	case len(region) > 63 || strings.ContainsFunc(region, func(r rune) bool { return !isPart(r) }) || region[0] == '-' || region[len(region)-1] == '-':
		c.Add("region", "must be the name of a region such as eu-west-1")
	}
}

func checkAuth(c *credential.Checks, auth stores.AWSAuth) {
	switch {
	case auth.JWT != nil && auth.JWT.ServiceAccountRef == nil:
		c.Add("auth.jwt.serviceAccountRef", "is required; name a ServiceAccount")
	case auth.JWT != nil:
		c.Account("auth.jwt.serviceAccountRef", *auth.JWT.ServiceAccountRef)
	}
	if ref := auth.SecretRef; ref != nil {
		c.Selector("auth.secretRef.accessKeyIDSecretRef", ref.AccessKeyID, false)
		c.Selector("auth.secretRef.secretAccessKeySecretRef", ref.SecretAccessKey, false)
		if ref.SessionToken != nil {
			c.Selector("auth.secretRef.sessionTokenSecretRef", ref.SessionToken, false)
		}
	}
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
