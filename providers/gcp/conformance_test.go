package gcp_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/gcp"
	"github.com/sealbridge/sealbridge/providers/providertest"
	harness "github.com/sealbridge/sealbridge/test/harness/gcp"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m)) }

const canary = providertest.Canary

// keyRef is where the tests' keys of service accounts lie.
func keyRef() providers.ObjectRef { return providers.ObjectRef{Name: "google", Key: "key.json"} }

// keyStore is a store that logs in with the key of env.
func keyStore(project string) *stores.GCPSM {
	return &stores.GCPSM{ProjectID: project, Auth: stores.GCPAuth{SecretRef: &stores.GCPAuthSecretRef{
		SecretAccessKey: &stores.SecretKeySelector{Name: keyRef().Name, Key: keyRef().Key},
	}}}
}

func keyEnv(key []byte) *providertest.Env {
	return &providertest.Env{Secrets: map[providers.ObjectRef][]byte{keyRef(): key}}
}

func config(spec *stores.GCPSM) providers.Config {
	return providers.Config{Store: "SecretStore team-a/google", Spec: spec}
}

// open opens a session that is closed when the test ends.
func open(t *testing.T, spec *stores.GCPSM, env providers.Env) providers.Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session, err := gcp.Provider{}.Open(ctx, config(spec), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.(io.Closer).Close() })
	return session
}

// place is a project of the test's own with somebody who may read it.
type place struct {
	*harness.Cloud
	project, email string
	key            []byte
}

func newPlace(t *testing.T) place {
	t.Helper()
	p := place{Cloud: harness.New(t), project: harness.Project()}
	p.email, p.key = p.Reader(t, p.project)
	return p
}

func (p place) parent() string { return "projects/" + p.project }

// put stores fields as JSON.
func (p place) put(t *testing.T, name string, fields map[string]string) {
	t.Helper()
	raw, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	p.Put(p.parent(), name, raw)
}

func (p place) config(*testing.T) (providers.Config, providers.Env) {
	return config(keyStore(p.project)), keyEnv(p.key)
}

// breaks is a store whose project answers each request so.
func breaks(code codes.Code, text string, details ...protoadapt.MessageV1) func(*testing.T) (providers.Config, providers.Env) {
	return func(t *testing.T) (providers.Config, providers.Env) {
		t.Helper()
		p := newPlace(t)
		st, err := status.New(code, text).WithDetails(details...)
		if err != nil {
			t.Fatal(err)
		}
		p.Break(p.project, func(context.Context, string) error { return st.Err() })
		return p.config(t)
	}
}

// elsewhere is a store of a location at whose endpoint somebody else answers.
func elsewhere(location string, handler http.Handler) func(*testing.T) (providers.Config, providers.Env) {
	return func(t *testing.T) (providers.Config, providers.Env) {
		t.Helper()
		p := newPlace(t)
		if handler != nil {
			p.Serve("secretmanager."+location+".rep.googleapis.com", handler)
		}
		spec := keyStore(p.project)
		spec.Location = location
		return config(spec), keyEnv(p.key)
	}
}

// says is a handler of one answer that is no gRPC.
func says(status int, contentType, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// tampered is a store whose answers are changed.
func tampered(change func(*pb.AccessSecretVersionResponse)) func(*testing.T) (providers.Config, providers.Env) {
	return func(t *testing.T) (providers.Config, providers.Env) {
		t.Helper()
		p := newPlace(t)
		p.put(t, "nowhere", map[string]string{"k": canary})
		p.Tamper(p.project, func(answer any) {
			if a, ok := answer.(*pb.AccessSecretVersionResponse); ok {
				change(a)
			}
		})
		return p.config(t)
	}
}

func faults() map[string]providertest.Fault {
	const store = "SecretStore team-a/google"
	return map[string]providertest.Fault{
		"nobody is there":                     {Class: providers.ErrUnavailable, Says: []string{store, "cannot reach secretmanager.nowhere1.rep.googleapis.com"}, Open: elsewhere("nowhere1", nil)},
		"a page of a proxy":                   {Class: providers.ErrUnavailable, Says: []string{"not one of Secret Manager's"}, Open: elsewhere("page1", says(200, "text/html", "<html>"+canary))},
		"a proxy without a server":            {Class: providers.ErrUnavailable, Says: []string{"not one of Secret Manager's"}, Open: elsewhere("page2", says(502, "text/html", "<html>"+canary))},
		"a refusal by a proxy":                {Class: providers.ErrUnavailable, Says: []string{"not one of Secret Manager's"}, Open: elsewhere("page3", says(403, "text/html", "<html>"+canary))},
		"a proxy that wants a login":          {Class: providers.ErrUnavailable, Says: []string{"not one of Secret Manager's"}, Open: elsewhere("page4", says(401, "text/html", "<html>"+canary))},
		"a page that was not found":           {Class: providers.ErrUnavailable, Says: []string{"not one of Secret Manager's"}, Open: elsewhere("page5", says(404, "text/html", "<html>"+canary))},
		"a proxy that has heard enough":       {Class: providers.ErrUnavailable, Says: []string{"not one of Secret Manager's"}, Open: elsewhere("page6", says(429, "text/html", "<html>"+canary))},
		"something like gRPC that breaks off": {Class: providers.ErrUnavailable, Open: elsewhere("broken1", says(200, "application/grpc", "\x00\x00\x00\xff\xff"+canary))},
		"an empty answer":                     {Class: providers.ErrUnavailable, Open: elsewhere("empty1", says(200, "application/grpc", ""))},
		"throttled":                           {Throttled: true, Says: []string{"throttled by the store"}, Open: breaks(codes.ResourceExhausted, "Quota exceeded "+canary)},
		"an internal error":                   {Class: providers.ErrUnavailable, Says: []string{"Internal"}, Open: breaks(codes.Internal, canary)},
		"unavailable":                         {Class: providers.ErrUnavailable, Says: []string{"Unavailable"}, Open: breaks(codes.Unavailable, canary)},
		"a method that is not known":          {Class: providers.ErrUnavailable, Says: []string{"Unimplemented"}, Open: breaks(codes.Unimplemented, canary)},
		"the token is refused":                {Class: providers.ErrDenied, Says: []string{"refuses the access token of the service account reader-"}, Open: breaks(codes.Unauthenticated, canary)},
		"an argument that is not accepted":    {Class: providers.ErrInvalid, Says: []string{"does not accept", "nowhere"}, Open: breaks(codes.InvalidArgument, canary)},
		"a state in which it cannot be read":  {Class: providers.ErrDenied, Says: []string{"encryption key"}, Open: breaks(codes.FailedPrecondition, canary)},
		"a project that does not exist":       {Class: providers.ErrInvalid, Says: []string{"there is no project"}, Open: breaks(codes.NotFound, "Project not found "+canary)},
		"the API is not enabled":              {Class: providers.ErrDenied, Says: []string{"enable it"}, Open: breaks(codes.PermissionDenied, canary, &errdetails.ErrorInfo{Reason: "SERVICE_DISABLED"})},
		"a payload that was damaged":          {Class: providers.ErrUnavailable, Says: []string{"checksum"}, Open: tampered(func(r *pb.AccessSecretVersionResponse) { r.Payload.Data[0] ^= 1 })},
		"no payload":                          {Class: providers.ErrUnavailable, Says: []string{"no payload"}, Open: tampered(func(r *pb.AccessSecretVersionResponse) { r.Payload = nil })},
		"an answer of 5 MiB": {Class: providers.ErrInvalid, Says: []string{"larger than 4 MiB", "nowhere"}, Open: tampered(func(r *pb.AccessSecretVersionResponse) {
			r.Payload.Data = []byte(strings.Repeat(canary, 5<<20/len(canary)))
		})},
		"the Secret with the key is missing":         {Class: providers.ErrUnavailable, Says: []string{"auth.secretRef.secretAccessKeySecretRef", "google"}, Open: keyed(nil)},
		"the key is none":                            {Class: providers.ErrInvalid, Says: []string{"does not hold the JSON key"}, Open: keyed([]byte(canary))},
		"the key is of a user":                       {Class: providers.ErrInvalid, Says: []string{"does not hold the JSON key"}, Open: keyed([]byte(`{"type":"authorized_user","refresh_token":"` + canary + `"}`))},
		"the private key cannot be read":             {Class: providers.ErrInvalid, Says: []string{"private key that cannot be read"}, Open: keyed([]byte(`{"type":"service_account","client_email":"a@b","private_key":"` + canary + `"}`))},
		"the key sends elsewhere than to Google":     {Class: providers.ErrInvalid, Says: []string{"token_uri"}, Open: keyed([]byte(`{"type":"service_account","client_email":"a@b","private_key":"` + canary + `","token_uri":"https://example.com/token"}`))},
		"the key is deleted":                         {Class: providers.ErrDenied, Says: []string{"oauth2.googleapis.com refuses the credentials of the service account reader-", "(invalid_grant)"}, Open: deletedKey},
		"the certificate is of an unknown authority": {Class: providers.ErrUnavailable, Says: []string{"not trusted", "SSL_CERT_FILE"}, Open: estranged},
	}
}

func keyed(key []byte) func(*testing.T) (providers.Config, providers.Env) {
	return func(*testing.T) (providers.Config, providers.Env) {
		env := keyEnv(key)
		if key == nil {
			env = &providertest.Env{}
		}
		return config(keyStore("p")), env
	}
}

func deletedKey(t *testing.T) (providers.Config, providers.Env) {
	t.Helper()
	p := newPlace(t)
	p.DeleteKeys(p.email)
	return p.config(t)
}

func estranged(t *testing.T) (providers.Config, providers.Env) {
	t.Helper()
	p := newPlace(t)
	p.Estrange("secretmanager.strange1.rep.googleapis.com")
	spec := keyStore(p.project)
	spec.Location = "strange1"
	return config(spec), keyEnv(p.key)
}

// TestSecretManagerConforms runs the suite with a key of a service account on one project and workload identity on the other.
func TestSecretManagerConforms(t *testing.T) {
	places := [2]place{newPlace(t), newPlace(t)}
	cluster := newCluster(t, places[1].project)
	providertest.Run(t, providertest.Harness{
		Provider: gcp.Provider{},
		Configs: [2]func(*testing.T) (providers.Config, providers.Env){
			places[0].config,
			func(*testing.T) (providers.Config, providers.Env) { return config(cluster.store()), cluster.env() },
		},
		Put: func(t *testing.T, i int, name string, fields map[string]string) providers.Ref {
			t.Helper()
			places[i].put(t, name, fields)
			return providers.Ref{Key: name}
		},
		Missing: providers.Ref{Key: "nowhere"},
		Hang: func(t *testing.T) (providers.Config, providers.Env) {
			t.Helper()
			p := newPlace(t)
			p.Hang(p.project)
			return p.config(t)
		},
		Faults: faults(),
		Ambient: map[string]func(*testing.T) (providers.Config, providers.Env){
			"without auth": func(*testing.T) (providers.Config, providers.Env) {
				return config(&stores.GCPSM{ProjectID: "p"}), &providertest.Env{}
			},
		},
		Invalid: map[string]providers.Config{
			"gcpsm":                        config(nil),
			"projectID":                    config(&stores.GCPSM{ProjectID: "p/secrets/" + canary}),
			"location":                     config(&stores.GCPSM{ProjectID: "p", Location: "x.example.com#" + canary}),
			"secretVersionSelectionPolicy": config(&stores.GCPSM{ProjectID: "p", SecretVersionSelectionPolicy: canary}),
			"auth.secretRef.secretAccessKeySecretRef":      config(&stores.GCPSM{ProjectID: "p", Auth: stores.GCPAuth{SecretRef: &stores.GCPAuthSecretRef{}}}),
			"auth.workloadIdentity.serviceAccountRef.name": config(&stores.GCPSM{Auth: stores.GCPAuth{WorkloadIdentity: &stores.GCPWorkloadIdentity{}}}),
			"auth.workloadIdentityFederation":              config(&stores.GCPSM{Auth: stores.GCPAuth{WorkloadIdentityFederation: &stores.GCPWorkloadIdentityFederation{Audience: "a"}}}),
			"auth.workloadIdentityFederation.audience":     config(&stores.GCPSM{Auth: stores.GCPAuth{WorkloadIdentityFederation: &stores.GCPWorkloadIdentityFederation{ServiceAccountRef: &stores.ServiceAccountSelector{Name: "a"}}}}),
			"auth.workloadIdentityFederation.credConfig":   config(&stores.GCPSM{Auth: stores.GCPAuth{WorkloadIdentityFederation: &stores.GCPWorkloadIdentityFederation{CredConfig: &stores.GCPConfigMapKey{}}}}),
		},
	})
	// A key is of one project, and does not say whose secrets are meant.
	without := keyStore("")
	if problems := (gcp.Provider{}).Validate(providers.Config{Store: "s", Spec: without}); len(problems) != 1 || problems[0].Field != "projectID" {
		t.Errorf("a key without a project: %v", problems)
	}
}

// TestThrottlingSaysForHowLong has Google name the time.
func TestThrottlingSaysForHowLong(t *testing.T) {
	t.Parallel()
	cfg, env := breaks(codes.ResourceExhausted, canary, &errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)})(t)
	_, err := open(t, cfg.Spec.(*stores.GCPSM), env).Fetch(t.Context(), []providers.Ref{{Key: "a"}})
	if after, ok := throttledFor(err); !ok || after != 7*time.Second {
		t.Errorf("got %v", err)
	}
}
