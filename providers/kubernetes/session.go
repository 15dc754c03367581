package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// parallel is how many reads of one Fetch run at once.
const parallel = 8

// session reads the Secrets of one namespace as one identity.
type session struct {
	store     string
	http      *jsonhttp.Client
	namespace string
	// who names the identity in messages.
	who string
	// anonymous is set without an identity.
	anonymous bool
	expires   time.Time
}

var (
	_ providers.Checker = (*session)(nil)
	_ providers.Expirer = (*session)(nil)
)

// Expires implements providers.Expirer.
func (s *session) Expires() time.Time { return s.expires }

// Close ends the connections.
func (s *session) Close() error {
	s.http.Close()
	return nil
}

// secret is what is used of a v1 Secret.
type secret struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        struct {
		Name            string            `json:"name"`
		Namespace       string            `json:"namespace"`
		ResourceVersion string            `json:"resourceVersion"`
		Labels          map[string]string `json:"labels"`
		Annotations     map[string]string `json:"annotations"`
	} `json:"metadata"`
	Data map[string][]byte `json:"data"`
}

// Fetch implements providers.Session: one read for each Secret, whatever is asked of it. Kubernetes keeps no versions, so
// Ref.Version has no meaning here, as in External Secrets Operator.
func (s *session) Fetch(ctx context.Context, refs []providers.Ref) ([]providers.Result, error) {
	keys, at := reading.Distinct(refs, func(ref providers.Ref) string { return ref.Key })
	secrets, errs := make([]*secret, len(keys)), make([]error, len(keys))
	reading.AtOnce(len(keys), parallel, func(i int) { secrets[i], errs[i] = s.get(ctx, keys[i]) })
	out := make([]providers.Result, len(refs))
	for i, ref := range refs {
		if out[i].Err = errs[at[i]]; out[i].Err != nil {
			continue
		}
		read := secrets[at[i]]
		out[i].Version = read.Metadata.ResourceVersion
		out[i].Document = s.document(read, ref.Metadata)
	}
	if err := reading.Down(out); err != nil {
		return nil, err
	}
	return out, nil
}

func (s *session) document(sec *secret, metadata bool) providers.Document {
	name := fmt.Sprintf("%s: Secret %s/%s", s.store, s.namespace, sec.Metadata.Name)
	if metadata {
		return metadataDocument{name: name, labels: sec.Metadata.Labels, annotations: sec.Metadata.Annotations}
	}
	return document{name: name, data: sec.Data}
}

func (s *session) get(ctx context.Context, name string) (*secret, error) {
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return nil, s.errorf(providers.ErrInvalid, "key %q is not the name of a Secret", name)
	}
	answer, err := s.do(ctx, jsonhttp.Request{Method: http.MethodGet, Path: "api/v1/namespaces/" + s.namespace + "/secrets/" + name})
	if err != nil {
		return nil, err
	}
	switch answer.Status {
	case http.StatusOK:
	case http.StatusForbidden:
		return nil, s.errorf(providers.ErrDenied, "%s may not read Secret %s/%s: grant it the verb \"get\" on secrets in namespace %s", s.who, s.namespace, name, s.namespace)
	case http.StatusNotFound:
		if isMissing(answer.Body, name) {
			return nil, s.errorf(providers.ErrNotFound, "Secret %s/%s does not exist", s.namespace, name)
		}
		return nil, s.strange(answer)
	default:
		return nil, s.strange(answer)
	}
	var sec secret
	if !decode(answer.Body, &sec) || sec.Kind != "Secret" || sec.APIVersion != "v1" || misnamed(sec) {
		return nil, s.strange(answer)
	}
	if sec.Metadata.Name != name || s.elsewhere(sec) {
		return nil, reading.Crossed(s.store, "Secret "+s.namespace+"/"+name, path.Join(sec.Metadata.Namespace, sec.Metadata.Name))
	}
	return &sec, nil
}

// elsewhere reports whether a Secret says that it is of another namespace than the session's.
func (s *session) elsewhere(sec secret) bool {
	return sec.Metadata.Namespace != "" && sec.Metadata.Namespace != s.namespace
}

// decode reads an answer of an API server, and reports whether it can be one: what is not UTF-8 would be read as other text.
func decode(body []byte, into any) bool {
	return utf8.Valid(body) && json.Unmarshal(body, into) == nil
}

// isMissing reports that the answer is the API server's, and about this very Secret: a proxy's 404 must not look like a
// Secret that was deleted.
func isMissing(body []byte, name string) bool {
	var status metav1.Status
	return json.Unmarshal(body, &status) == nil && status.Kind == "Status" && status.Reason == metav1.StatusReasonNotFound &&
		status.Details != nil && status.Details.Kind == "secrets" && status.Details.Name == name
}

// do makes one request. Its errors are those that do not depend on what was asked.
func (s *session) do(ctx context.Context, r jsonhttp.Request) (*jsonhttp.Answer, error) {
	answer, err := s.http.Do(ctx, r)
	switch {
	case errors.Is(err, jsonhttp.ErrTooLarge):
		return nil, s.errorf(providers.ErrInvalid, "%w", err)
	case err != nil:
		return nil, s.errorf(providers.ErrUnavailable, "API server: %w", err)
	}
	switch {
	case answer.Status == http.StatusTooManyRequests:
		return nil, fmt.Errorf("%s: API server: %w", s.store, &providers.ThrottledError{After: answer.RetryAfter()})
	case answer.Status == http.StatusUnauthorized:
		return nil, s.errorf(providers.ErrDenied, "the API server does not accept the credentials of %s; renew them", s.who)
	case answer.Status >= http.StatusInternalServerError:
		return nil, s.errorf(providers.ErrUnavailable, "the API server answered %d %s", answer.Status, http.StatusText(answer.Status))
	}
	return answer, nil
}

// strange is the error for an answer that an API server does not give.
func (s *session) strange(a *jsonhttp.Answer) error {
	return s.errorf(providers.ErrUnavailable, "the answer (status %d) is not a Kubernetes API server's; check server.url and what is between", a.Status)
}

// errorf makes an error of a class that begins with the store.
func (s *session) errorf(class error, format string, args ...any) error {
	return providers.Errorf(class, "%s: "+format, append([]any{s.store}, args...)...)
}
