package externalsecrets_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/test/harness/gcp"
)

// googleSecret is one that a case has in Google Cloud Secret Manager, in the project of its own name.
type googleSecret struct {
	Name        string            `json:"name"`
	Location    string            `json:"location"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	// Versions are the contents of its versions; Disabled and Destroyed are numbers of some of them.
	Versions  []string         `json:"versions"`
	Disabled  []int            `json:"disabled"`
	Destroyed []int            `json:"destroyed"`
	Aliases   map[string]int64 `json:"aliases"`
}

const googleReader = "reader@conformance.iam.gserviceaccount.com"

// newGoogle starts the Google Cloud to which the controllers are led by their environment; what is not Google's they reach as env says.
func newGoogle(t *testing.T, env []string) *gcp.Cloud {
	t.Helper()
	cloud, err := gcp.Start(t.Context())
	if err == nil {
		t.Cleanup(func() { _ = cloud.Stop() })
		err = cloud.Before(env)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cloud
}

// giveGoogleKey puts the key of the service account that may read for all cases where no case is, so that no answer holds it.
func (w *world) giveGoogleKey(t *testing.T) {
	t.Helper()
	key, err := w.google.Key(googleReader)
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "google-key"}, Data: map[string][]byte{"key.json": key}}
	if err := w.client.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
}

// fillGoogle puts the secrets of a case into its project.
func (w *world) fillGoogle(c *conformanceCase) {
	cloud := w.google
	project := "projects/" + c.namespace
	cloud.Grant("serviceAccount:"+googleReader, project, gcp.Reading()...)
	for _, s := range c.Google {
		parent := project
		if s.Location != "" {
			parent += "/locations/" + s.Location
		}
		cloud.Describe(parent, s.Name, s.Labels, s.Annotations)
		for _, content := range s.Versions {
			cloud.Put(parent, s.Name, []byte(content))
		}
		for _, number := range s.Disabled {
			cloud.Disable(parent, s.Name, number)
		}
		for _, number := range s.Destroyed {
			cloud.Destroy(parent, s.Name, number)
		}
		for alias, number := range s.Aliases {
			cloud.Alias(parent, s.Name, alias, number)
		}
	}
}
