package googleidentity

import (
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

func TestAProblemOfALoginNamesTheField(t *testing.T) {
	t.Parallel()
	workload := func(change func(*stores.GCPWorkloadIdentity)) stores.GCPAuth {
		wi := &stores.GCPWorkloadIdentity{ServiceAccountRef: stores.ServiceAccountSelector{Name: "a"}, ClusterProjectID: "p", ClusterLocation: "l", ClusterName: "c"}
		change(wi)
		return stores.GCPAuth{WorkloadIdentity: wi}
	}
	federation := func(change func(*stores.GCPWorkloadIdentityFederation)) stores.GCPAuth {
		wif := &stores.GCPWorkloadIdentityFederation{Audience: "a", GCPServiceAccountEmail: "a@p.iam.gserviceaccount.com", ExternalTokenEndpoint: "https://x/?y"}
		change(wif)
		return stores.GCPAuth{WorkloadIdentityFederation: wif}
	}
	account, config := &stores.ServiceAccountSelector{Name: "a"}, &stores.GCPConfigMapKey{Name: "c", Key: "k"}
	keys := func(name, region string) *stores.GCPAWSCredentials {
		return &stores.GCPAWSCredentials{AWSCredentialsSecretRef: stores.GCPSecretName{Name: name}, Region: region}
	}
	for _, tc := range []struct {
		field string
		spec  stores.GCPAuth
	}{
		{"", stores.GCPAuth{}},
		{"", stores.GCPAuth{SecretRef: &stores.GCPAuthSecretRef{SecretAccessKey: &stores.SecretKeySelector{Name: "x", Key: "k"}}}},
		{"auth.secretRef.secretAccessKeySecretRef.key", stores.GCPAuth{SecretRef: &stores.GCPAuthSecretRef{SecretAccessKey: &stores.SecretKeySelector{Name: "x"}}}},
		{"", workload(func(*stores.GCPWorkloadIdentity) {})},
		{"", workload(func(w *stores.GCPWorkloadIdentity) { w.ClusterProjectID, w.ClusterLocation, w.ClusterName = "", "", "" })},
		{"auth.workloadIdentity.serviceAccountRef.name", workload(func(w *stores.GCPWorkloadIdentity) { w.ServiceAccountRef.Name = "" })},
		{"auth.workloadIdentity.clusterProjectID", workload(func(w *stores.GCPWorkloadIdentity) { w.ClusterProjectID = "a/b" })},
		{"auth.workloadIdentity.clusterLocation", workload(func(w *stores.GCPWorkloadIdentity) { w.ClusterLocation = "a/b" })},
		{"auth.workloadIdentity.clusterName", workload(func(w *stores.GCPWorkloadIdentity) { w.ClusterName = "a/b" })},
		{"", federation(func(w *stores.GCPWorkloadIdentityFederation) { w.ServiceAccountRef = account })},
		{"", federation(func(w *stores.GCPWorkloadIdentityFederation) { w.AWSSecurityCredentials = keys("s", "r") })},
		{"", federation(func(w *stores.GCPWorkloadIdentityFederation) { w.CredConfig, w.Audience = config, "" })},
		{"auth.workloadIdentityFederation", federation(func(*stores.GCPWorkloadIdentityFederation) {})},
		{"auth.workloadIdentityFederation", federation(func(w *stores.GCPWorkloadIdentityFederation) { w.CredConfig, w.ServiceAccountRef = config, account })},
		{"auth.workloadIdentityFederation", federation(func(w *stores.GCPWorkloadIdentityFederation) {
			w.AWSSecurityCredentials, w.ServiceAccountRef = keys("s", "r"), account
		})},
		{"auth.workloadIdentityFederation.credConfig", federation(func(w *stores.GCPWorkloadIdentityFederation) { w.CredConfig = &stores.GCPConfigMapKey{Name: "c"} })},
		{"auth.workloadIdentityFederation.credConfig", federation(func(w *stores.GCPWorkloadIdentityFederation) { w.CredConfig = &stores.GCPConfigMapKey{Key: "k"} })},
		{"auth.workloadIdentityFederation.serviceAccountRef.name", federation(func(w *stores.GCPWorkloadIdentityFederation) { w.ServiceAccountRef = &stores.ServiceAccountSelector{} })},
		{"auth.workloadIdentityFederation.awsSecurityCredentials.awsCredentialsSecretRef.name", federation(func(w *stores.GCPWorkloadIdentityFederation) { w.AWSSecurityCredentials = keys("", "r") })},
		{"auth.workloadIdentityFederation.awsSecurityCredentials.region", federation(func(w *stores.GCPWorkloadIdentityFederation) { w.AWSSecurityCredentials = keys("s", "r.example.com/") })},
		{"auth.workloadIdentityFederation.audience", federation(func(w *stores.GCPWorkloadIdentityFederation) { w.ServiceAccountRef, w.Audience = account, "" })},
		{"auth.workloadIdentityFederation.gcpServiceAccountEmail", federation(func(w *stores.GCPWorkloadIdentityFederation) {
			w.ServiceAccountRef, w.GCPServiceAccountEmail = account, "a@example.com"
		})},
		{"auth.workloadIdentityFederation.externalTokenEndpoint", federation(func(w *stores.GCPWorkloadIdentityFederation) {
			w.ServiceAccountRef, w.ExternalTokenEndpoint = account, "https://u:p@x"
		})},
	} {
		var c credential.Checks
		CheckAuth(&c, "auth", tc.spec)
		switch {
		case tc.field == "" && len(c.Problems) > 0:
			t.Errorf("a good one: %v", c.Problems)
		case tc.field != "" && (len(c.Problems) != 1 || c.Problems[0].Field != tc.field):
			t.Errorf("want a problem with %s, got %v", tc.field, c.Problems)
		}
		if own := Ambient("auth", tc.spec); (own != nil) != (tc.spec == stores.GCPAuth{}) || own != nil && (own.Field != "auth" || !strings.Contains(own.Instead, "auth.secretRef")) {
			t.Errorf("%s: the identity is left to the controller: %+v", tc.field, own)
		}
	}
}

func TestAKeyOfNobodyIsNotNamed(t *testing.T) {
	t.Parallel()
	for email, want := range map[string]string{"a@p.iam.gserviceaccount.com": "the service account a@p.iam.gserviceaccount.com", "a@example.com\n": "the service account of the key"} {
		if got := (accountKey{ClientEmail: email}).who(); got != want {
			t.Errorf("%q: %s", email, got)
		}
	}
}
