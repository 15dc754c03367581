package kubernetes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/internal/aliases"
	"github.com/sealbridge/sealbridge/internal/archive"
	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// kubeconfig is what the current context of a kubeconfig says about a server and an identity on it.
type kubeconfig struct {
	cluster struct {
		Server     string `json:"server"`
		Authority  []byte `json:"certificate-authority-data"`
		ServerName string `json:"tls-server-name"`
	}
	user struct {
		Token       string `json:"token"`
		Certificate []byte `json:"client-certificate-data"`
		Key         []byte `json:"client-key-data"`
	}
}

// maxKubeconfig is what a Secret holds.
const maxKubeconfig = 1 << 20

// entry is one of a list of a kubeconfig.
type entry struct {
	Name    string          `json:"name"`
	Cluster json.RawMessage `json:"cluster"`
	User    json.RawMessage `json:"user"`
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
}

// readKubeconfig reads the current context of a kubeconfig. It refuses what could reach out of it: a program that is to run, a
// file of the machine that reads it, another identity, a server that is not verified. The error says what is wrong with the
// kubeconfig, and of its content only the names of fields that kubeconfigs have.
func readKubeconfig(raw []byte) (kubeconfig, error) {
	var k kubeconfig
	var doc struct {
		Current  string  `json:"current-context"`
		Contexts []entry `json:"contexts"`
		Clusters []entry `json:"clusters"`
		Users    []entry `json:"users"`
	}
	if !aliases.Fit(raw, maxKubeconfig) {
		return k, invalid("has aliases that expand to more than 1 MiB; write out what they name")
	}
	if yaml.Unmarshal(raw, &doc) != nil {
		return k, invalid("is not a kubeconfig")
	}
	at, ok := find(doc.Contexts, doc.Current)
	if !ok {
		return k, invalid("has no current-context that is among its contexts; choose one with kubectl config use-context")
	}
	cluster, ok := find(doc.Clusters, at.Context.Cluster)
	if !ok {
		return k, invalid("does not have the cluster of its current context")
	}
	err := readPart("cluster", cluster.Cluster, &k.cluster,
		[]string{"server", "certificate-authority-data", "tls-server-name"}, []string{"disable-compression", "extensions"},
		[]string{"certificate-authority", "insecure-skip-tls-verify", "proxy-url"})
	if err != nil || at.Context.User == "" {
		return k, err
	}
	user, ok := find(doc.Users, at.Context.User)
	if !ok {
		return k, invalid("does not have the user of its current context")
	}
	return k, readPart("user", user.User, &k.user,
		[]string{"token", "client-certificate-data", "client-key-data"}, []string{"extensions"},
		[]string{"exec", "auth-provider", "tokenFile", "client-certificate", "client-key", "username", "password", "as", "as-uid", "as-groups", "as-user-extra"})
}

func invalid(format string, args ...any) error {
	return providers.Errorf(providers.ErrInvalid, format, args...)
}

// find returns the first entry of a name, as kubectl does.
func find(list []entry, name string) (entry, bool) {
	i := slices.IndexFunc(list, func(e entry) bool { return name != "" && e.Name == name })
	if i < 0 {
		return entry{}, false
	}
	return list[i], true
}

// readPart reads the fields of a cluster or user that are taken, and fails for one that has others which say something, but for
// those that make no difference. What is neither is content, unless it is one of those that kubeconfigs may have (known).
func readPart(what string, raw json.RawMessage, into any, taken, ignored, known []string) error {
	var fields map[string]any
	if len(raw) == 0 || json.Unmarshal(raw, &fields) != nil || json.Unmarshal(raw, into) != nil {
		return invalid("has a %s that cannot be read", what)
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if slices.Contains(taken, field) || slices.Contains(ignored, field) || saysNothing(fields[field]) {
			continue
		}
		if !slices.Contains(known, field) {
			field = "a field that is not known"
		}
		return invalid("has a %s with %s; only %s are taken, and nothing that runs a program, reads a file of the controller, "+
			"or leaves the server unverified", what, field, strings.Join(taken, ", "))
	}
	return nil
}

func saysNothing(value any) bool {
	switch v := value.(type) {
	case string:
		return v == ""
	case bool:
		return !v
	default:
		return v == nil
	}
}

// followKubeconfig puts the server and the identity of a kubeconfig into the options.
func (s *session) followKubeconfig(ctx context.Context, ref stores.SecretKeySelector, creds credential.Reader, o *jsonhttp.Options) error {
	raw, err := creds.Secret(ctx, "authRef", ref, "")
	if err != nil {
		return err
	}
	fail := func(err error) error {
		return providers.Errorf(providers.ErrInvalid, "%s: authRef: the kubeconfig in Secret %s %w", s.store, ref.Name, err)
	}
	k, err := readKubeconfig(raw)
	if err != nil {
		return fail(err)
	}
	var checks credential.Checks
	if o.Base = checks.Address("server", withScheme(k.cluster.Server)); o.Base == nil {
		return fail(invalid("has a cluster whose server %s", checks.Problems[0].Message))
	}
	o.ServerName, o.RootsHint = k.cluster.ServerName, "put certificate-authority-data into the kubeconfig"
	if len(k.cluster.Authority) > 0 {
		if o.Roots = x509.NewCertPool(); !o.Roots.AppendCertsFromPEM(k.cluster.Authority) {
			return fail(invalid("has a cluster whose certificate-authority-data holds no PEM certificate"))
		}
	}
	s.who = "the user of the kubeconfig in Secret " + ref.Name
	if len(k.user.Certificate) > 0 {
		if len(k.user.Key) > archive.MaxKey {
			return fail(invalid("has a user whose client-key-data has %d bytes, a private key may have %d", len(k.user.Key), archive.MaxKey))
		}
		pair, err := tls.X509KeyPair(k.user.Certificate, k.user.Key)
		if err != nil { // the parser's own text is left out: it could quote the key
			return fail(invalid("has a user whose client-certificate-data and client-key-data are not a certificate and its key in PEM"))
		}
		leaf, err := leafOf(&pair)
		if err != nil {
			return fail(invalid("has a user whose client-certificate-data holds no certificate"))
		}
		o.Certificate, s.expires = &pair, leaf.NotAfter
	}
	if token := strings.TrimSpace(k.user.Token); token != "" {
		if !credential.Printable(token) {
			return fail(invalid("has a user whose token has characters that are not printable ASCII"))
		}
		o.Header.Set("Authorization", "Bearer "+token)
	}
	s.anonymous = o.Certificate == nil && o.Header.Get("Authorization") == ""
	return nil
}
