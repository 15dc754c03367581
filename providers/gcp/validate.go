package gcp

import (
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
	"github.com/sealbridge/sealbridge/providers/internal/googleidentity"
)

// Validate implements providers.Provider.
func (Provider) Validate(cfg providers.Config) []providers.Problem {
	spec, ok := cfg.Spec.(*stores.GCPSM)
	if !ok || spec == nil {
		return []providers.Problem{{Field: "gcpsm", Message: "is required"}}
	}
	var c credential.Checks
	if spec.ProjectID != "" && !googleidentity.IsProjectName(spec.ProjectID) {
		c.Add("projectID", "must be the ID or number of a project")
	}
	if spec.Location != "" && !googleidentity.IsLocation(spec.Location) {
		c.Add("location", "must be the name of a region, such as europe-west3")
	}
	switch spec.SecretVersionSelectionPolicy {
	case "", stores.GCPLatestOrFail, stores.GCPLatestOrFetch:
	default:
		c.Add("secretVersionSelectionPolicy", "must be LatestOrFail or LatestOrFetch")
	}
	if spec.Auth.SecretRef != nil && spec.ProjectID == "" {
		c.Add("projectID", "is required with auth.secretRef")
	}
	googleidentity.CheckAuth(&c, "auth", spec.Auth)
	return c.Problems
}

// Ambient implements providers.Provider: without auth Application Default Credentials are looked for. A credConfig can ask for
// the identity of the node, too, which shows when it is read.
func (Provider) Ambient(cfg providers.Config) *providers.Ambient {
	if spec, ok := cfg.Spec.(*stores.GCPSM); ok && spec != nil {
		return googleidentity.Ambient("auth", spec.Auth)
	}
	return nil
}
