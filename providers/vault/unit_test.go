package vault

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
)

func TestAPathIsBuiltFromMountAndKey(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mount, key         string
		v1                 bool
		data, wantMetadata string
	}{
		"mount and key":                       {mount: "secret/path", key: "test", data: "secret/path/data/test", wantMetadata: "secret/path/metadata/test"},
		"the key repeats the mount":           {mount: "secret/path", key: "secret/path/test", data: "secret/path/data/test", wantMetadata: "secret/path/metadata/test"},
		"the key repeats the mount and data":  {mount: "secret/path", key: "secret/path/data/test", data: "secret/path/data/test", wantMetadata: "secret/path/metadata/test"},
		"data that is part of the name stays": {mount: "secret", key: "data/test", data: "secret/data/data/test", wantMetadata: "secret/metadata/data/test"},
		"the key is the mount's name":         {mount: "secret", key: "secret", data: "secret/data/secret", wantMetadata: "secret/metadata/secret"},
		"the key begins like the mount":       {mount: "sec", key: "secret/x", data: "sec/data/secret/x", wantMetadata: "sec/metadata/secret/x"},
		"no mount":                            {key: "secret/test/big/path", data: "secret/data/test/big/path", wantMetadata: "secret/metadata/test/big/path"},
		"no mount and data": {
			key: "secret/test/data/not/the/first/and/data/twice", data: "secret/test/data/not/the/first/and/data/twice",
			wantMetadata: "secret/test/metadata/not/the/first/and/data/twice",
		},
		"superfluous slashes": {mount: "/secret/", key: "/a//b/", data: "secret/data/a/b", wantMetadata: "secret/metadata/a/b"},
		// What follows was read by External Secrets Operator 2.9 from a real Vault.
		"a slash before the mount in the key": {mount: "secret", key: "/secret/app", data: "secret/data/secret/app", wantMetadata: "secret/metadata/secret/app"},
		"a slash after the mount":             {mount: "secret/", key: "secret/app", data: "secret/data/secret/app", wantMetadata: "secret/metadata/secret/app"},
		"two slashes after the mount":         {mount: "secret/", key: "secret//app", data: "secret/data/app", wantMetadata: "secret/metadata/app"},
		"a slash before the mount":            {mount: "/secret", key: "secret/app", data: "secret/data/secret/app", wantMetadata: "secret/metadata/secret/app"},
		"the same slash before both":          {mount: "/secret", key: "/secret/app", data: "secret/data/app", wantMetadata: "secret/metadata/app"},
		"no mount, and a secret named data":   {key: "secret/data", data: "secret/data/data", wantMetadata: "secret/metadata/data"},
		"version 1, a slash before the mount": {v1: true, mount: "one", key: "/one/app", data: "one/one/app"},
		"version 1, a slash after the mount":  {v1: true, mount: "one/", key: "one/app", data: "one/one/app"},

		"version 1":                 {v1: true, mount: "secret/path", key: "test", data: "secret/path/test"},
		"version 1 with the mount":  {v1: true, mount: "secret/path", key: "secret/path/test", data: "secret/path/test"},
		"version 1 with a data key": {v1: true, mount: "secret", key: "secret/data/test", data: "secret/data/test"},
		"version 1 without a mount": {v1: true, key: "secret/test", data: "secret/test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := engine{mount: tc.mount, v1: tc.v1}
			if got := e.dataPath(tc.key); got != tc.data {
				t.Errorf("data path is %s, want %s", got, tc.data)
			}
			if got := e.metadataPath(tc.key); !tc.v1 && got != tc.wantMetadata {
				t.Errorf("metadata path is %s, want %s", got, tc.wantMetadata)
			}
		})
	}
}

func TestAFolderIsListedBelowTheMount(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mount, folder string
		v1            bool
		want          string
	}{
		"everything":                     {mount: "kv", want: "kv/metadata"},
		"a slash alone":                  {mount: "kv", folder: "/", want: "kv/metadata"},
		"a folder":                       {mount: "kv/", folder: "/apps//web/", want: "kv/metadata/apps/web"},
		"a folder of the mount's name":   {mount: "kv", folder: "kv/", want: "kv/metadata/kv"},
		"no mount":                       {folder: "kv/apps/", want: "kv/metadata/apps"},
		"no mount and data":              {folder: "kv/data/apps/", want: "kv/metadata/apps"},
		"no mount, all of it":            {folder: "kv/", want: "kv/metadata"},
		"no mount, all of it below data": {folder: "kv/data/", want: "kv/metadata"},
		"no mount, a mount of two parts": {folder: "team/kv/data/", want: "team/kv/metadata"},
		"version 1":                      {v1: true, mount: "kv", folder: "kv/", want: "kv/kv"},
		"version 1 without a mount":      {v1: true, folder: "kv/apps/", want: "kv/apps"},
	} {
		if got := (engine{mount: tc.mount, v1: tc.v1}).listPath(tc.folder); got != tc.want {
			t.Errorf("%s: %s is listed, want %s", name, got, tc.want)
		}
	}
}

// The words are those of Vault 1.13 and of Google.
func TestWhatGoogleAnswersVaultIsExplained(t *testing.T) {
	t.Parallel()
	const away, key, own = "vault does not learn from Google who logs in at auth/gcp", "google does not know the key with which the token of it is signed",
		"google does not accept vault's own credentials; renew those in auth/gcp/config"
	for _, tc := range []struct {
		says    string
		vouched bool
		class   error
		want    string
	}{
		{"unable to get public key: googleapi: Error 401: x", false, providers.ErrDenied, own},
		{"unable to get public key: cannot fetch token: 400 Bad Request", false, providers.ErrDenied, own},
		{`unable to get public key: {"error":"invalid_grant"}`, false, providers.ErrDenied, own},
		{"unable to get public key: cannot fetch token: 503", false, providers.ErrUnavailable, away},
		{"unable to get public key: googleapi: Error 403: x", false, providers.ErrUnavailable, away},
		{"unable to get public key: googleapi: Error 404: x", false, providers.ErrDenied, key},
		{"unable to get public key: key not found at GET https://x", false, providers.ErrDenied, key},
		{"unable to get public key: key not found at GET https://x", true, providers.ErrUnavailable, away},
		{"unable to find instance: instance_creation_timestamp differs", true, providers.ErrDenied, "the machine of the controller does not run any more"},
		{"role requires that service account JWTs expire within 5 minutes", false, providers.ErrDenied, "raise its max_jwt_exp to 10m"},
		{"role requires that service account JWTs expire within 5 minutes", true, providers.ErrDenied, "raise its max_jwt_exp to 1h"},
		{"no Google OAuth2 provider key found for GCE role", true, providers.ErrDenied, `vault role "app" at auth/gcp refuses it`},
	} {
		r := &reply{status: 400, genuine: true, envelope: envelope{Errors: []string{tc.says}}}
		err := api{store: "s"}.refusedGCP("auth/gcp", r, "app", googleCaller{name: "it", vouched: tc.vouched})
		if _, after, found := strings.Cut(err.Error(), tc.want); !found || !errors.Is(err, tc.class) || strings.Contains(tc.want, "raise") && after != "" {
			t.Errorf("%s: %v", tc.says, err)
		}
	}
}

func TestAProblemNamesTheField(t *testing.T) {
	t.Parallel()
	sel := &stores.SecretKeySelector{Name: "s", Key: "k"}
	with := func(change func(*stores.Vault)) *stores.Vault {
		spec := &stores.Vault{Server: "https://vault:8200", Auth: &stores.VaultAuth{TokenSecretRef: sel}}
		change(spec)
		return spec
	}
	auth := func(a stores.VaultAuth) *stores.Vault {
		return with(func(v *stores.Vault) { v.Auth = &a })
	}
	for name, tc := range map[string]struct {
		spec *stores.Vault
		want []string
	}{
		"a token":                     {with(func(*stores.Vault) {}), nil},
		"plain http and no auth":      {with(func(v *stores.Vault) { v.Server, v.Auth = "http://vault", nil }), nil},
		"a base path":                 {with(func(v *stores.Vault) { v.Server = "https://proxy/vault/" }), nil},
		"no server":                   {with(func(v *stores.Vault) { v.Server = "" }), []string{"server"}},
		"a server without scheme":     {with(func(v *stores.Vault) { v.Server = "vault:8200" }), []string{"server"}},
		"a socket":                    {with(func(v *stores.Vault) { v.Server = "unix:///run/vault.sock" }), []string{"server"}},
		"a server with a query":       {with(func(v *stores.Vault) { v.Server = "https://vault/?x=y" }), []string{"server"}},
		"version 3":                   {with(func(v *stores.Vault) { v.Version = "v3" }), []string{"version"}},
		"a path that climbs":          {with(func(v *stores.Vault) { v.Path = "kv/../sys" }), []string{"path"}},
		"check-and-set for version 1": {with(func(v *stores.Vault) { v.Version, v.CheckAndSet = "v1", &stores.VaultCheckAndSet{Required: true} }), []string{"checkAndSet.required"}},
		"check-and-set for version 2": {with(func(v *stores.Vault) { v.Version, v.CheckAndSet = "v2", &stores.VaultCheckAndSet{Required: true} }), nil},
		"no check-and-set":            {with(func(v *stores.Vault) { v.Version, v.CheckAndSet = "v1", &stores.VaultCheckAndSet{} }), nil},
		"nothing at all":              {nil, []string{"vault"}},
		"a control character":         {with(func(v *stores.Vault) { v.Path = "kv\x1f" }), []string{"path"}},
		"another one":                 {with(func(v *stores.Vault) { v.Path = "kv\x7f" }), []string{"path"}},
		"spaces and other letters":    {with(func(v *stores.Vault) { v.Path = "k v/ü/..." }), nil},
		"a CA bundle that is none":    {with(func(v *stores.Vault) { v.CABundle = []byte("x") }), []string{"caBundle"}},
		"an empty CA provider":        {with(func(v *stores.Vault) { v.CAProvider = &stores.CAProvider{} }), []string{"caProvider.type", "caProvider.name", "caProvider.key"}},
		"a token as a header":         {with(func(v *stores.Vault) { v.Headers = map[string]string{"x-vault-token": "x"} }), []string{"headers[x-vault-token]"}},
		"a header that splits":        {with(func(v *stores.Vault) { v.Headers = map[string]string{"A": "x\r\nB: y", "C:": "x"} }), []string{"headers[A]", "headers"}},
		"a namespace that splits":     {with(func(v *stores.Vault) { v.Namespace = "a\nb" }), []string{"namespace"}},
		"a namespace of the login":    {auth(stores.VaultAuth{TokenSecretRef: sel, Namespace: "a\nb"}), []string{"auth.namespace"}},
		"a header without a value":    {with(func(v *stores.Vault) { v.Headers = map[string]string{"X-Empty": ""} }), nil},
		"names of headers": {with(func(v *stores.Vault) {
			v.Headers = map[string]string{"0aA-9zZ": "x", "!#$%&'*+-.^_`|~": "x"}
		}), nil},
		"names that are none": {with(func(v *stores.Vault) {
			v.Headers = map[string]string{"": "x", "/": "x", ":": "x", "@": "x", "[": "x", "{": "x", "é": "x", " a": "x", "a ": "x"}
		}), slices.Repeat([]string{"headers"}, 9)},
		"a client certificate": {with(func(v *stores.Vault) {
			v.ClientTLS = stores.VaultClientTLS{CertSecretRef: &stores.SecretKeySelector{Name: "c"}, KeySecretRef: &stores.SecretKeySelector{Name: "c"}}
		}), nil},
		"a client certificate of nobody": {with(func(v *stores.Vault) {
			v.ClientTLS = stores.VaultClientTLS{CertSecretRef: &stores.SecretKeySelector{}, KeySecretRef: &stores.SecretKeySelector{}}
		}), []string{"tls.certSecretRef.name", "tls.keySecretRef.name"}},
		"half a client certificate":     {with(func(v *stores.Vault) { v.ClientTLS.CertSecretRef = sel }), []string{"tls.keySecretRef"}},
		"the other half":                {with(func(v *stores.Vault) { v.ClientTLS.KeySecretRef = sel }), []string{"tls.certSecretRef"}},
		"empty auth":                    {auth(stores.VaultAuth{}), []string{"auth"}},
		"a token without key":           {auth(stores.VaultAuth{TokenSecretRef: &stores.SecretKeySelector{Name: "x"}}), []string{"auth.tokenSecretRef.key"}},
		"an AppRole without id":         {auth(stores.VaultAuth{AppRole: &stores.VaultAppRole{SecretRef: *sel}}), []string{"auth.appRole"}},
		"an AppRole without secret":     {auth(stores.VaultAuth{AppRole: &stores.VaultAppRole{RoleRef: sel}}), []string{"auth.appRole.secretRef.name"}},
		"kubernetes without role":       {auth(stores.VaultAuth{Kubernetes: &stores.VaultKubernetesAuth{SecretRef: sel}}), []string{"auth.kubernetes.role"}},
		"kubernetes with our own token": {auth(stores.VaultAuth{Kubernetes: &stores.VaultKubernetesAuth{Role: "r"}}), []string{"auth.kubernetes.serviceAccountRef"}},
		"an AppRole with half an id":    {auth(stores.VaultAuth{AppRole: &stores.VaultAppRole{Path: "a/..", RoleRef: &stores.SecretKeySelector{Name: "r"}, SecretRef: *sel}}), []string{"auth.appRole.path", "auth.appRole.roleRef.key"}},
		"kubernetes of nobody":          {auth(stores.VaultAuth{Kubernetes: &stores.VaultKubernetesAuth{Role: "r", ServiceAccountRef: &stores.ServiceAccountSelector{}}}), []string{"auth.kubernetes.serviceAccountRef.name"}},
		"kubernetes with a token":       {auth(stores.VaultAuth{Kubernetes: &stores.VaultKubernetesAuth{Role: "r", SecretRef: &stores.SecretKeySelector{Name: "s"}}}), nil},
		"kubernetes with a token of no": {auth(stores.VaultAuth{Kubernetes: &stores.VaultKubernetesAuth{Role: "r", SecretRef: &stores.SecretKeySelector{}}}), []string{"auth.kubernetes.secretRef.name"}},
		"jwt at a place that is none":   {auth(stores.VaultAuth{JWT: &stores.VaultJWTAuth{Path: "..", SecretRef: &stores.SecretKeySelector{Name: "s"}}}), []string{"auth.jwt.path", "auth.jwt.secretRef.key"}},
		"cert at a place that is none":  {auth(stores.VaultAuth{Cert: &stores.VaultCertAuth{Path: "./x", SecretRef: sel}}), []string{"auth.cert.path", "auth.cert.clientCert"}},
		"ldap at a place that is none":  {auth(stores.VaultAuth{LDAP: &stores.VaultUserAuth{Path: "a/./b", Username: "u", SecretRef: sel}}), []string{"auth.ldap.path"}},
		"a mount that climbs":           {auth(stores.VaultAuth{Kubernetes: &stores.VaultKubernetesAuth{Role: "r", Path: "../x", SecretRef: sel}}), []string{"auth.kubernetes.mountPath"}},
		"ldap":                          {auth(stores.VaultAuth{LDAP: &stores.VaultUserAuth{Username: "u", SecretRef: sel}}), nil},
		"ldap without a user":           {auth(stores.VaultAuth{LDAP: &stores.VaultUserAuth{Username: " ", SecretRef: &stores.SecretKeySelector{Name: "s"}}}), []string{"auth.ldap.username", "auth.ldap.secretRef.key"}},
		"a user that climbs":            {auth(stores.VaultAuth{UserPass: &stores.VaultUserAuth{Username: "../x", SecretRef: sel}}), []string{"auth.userPass.username"}},
		"userPass without a password":   {auth(stores.VaultAuth{UserPass: &stores.VaultUserAuth{Username: "u", Path: ".."}}), []string{"auth.userPass.path", "auth.userPass.secretRef"}},
		"jwt":                           {auth(stores.VaultAuth{JWT: &stores.VaultJWTAuth{SecretRef: sel}}), nil},
		"jwt without a token":           {auth(stores.VaultAuth{JWT: &stores.VaultJWTAuth{}}), []string{"auth.jwt"}},
		"jwt of nobody":                 {auth(stores.VaultAuth{JWT: &stores.VaultJWTAuth{KubernetesServiceAccountToken: &stores.VaultServiceAccountToken{}}}), []string{"auth.jwt.kubernetesServiceAccountToken.serviceAccountRef.name"}},
		"cert":                          {auth(stores.VaultAuth{Cert: &stores.VaultCertAuth{ClientCert: sel, SecretRef: sel}}), nil},
		"cert without key":              {auth(stores.VaultAuth{Cert: &stores.VaultCertAuth{ClientCert: sel}}), []string{"auth.cert.secretRef"}},
		"cert in plain text": {with(func(v *stores.Vault) {
			v.Server, v.Auth = "http://vault", &stores.VaultAuth{Cert: &stores.VaultCertAuth{ClientCert: sel, SecretRef: sel}}
		}), []string{"auth.cert"}},
		"iam":                             {auth(stores.VaultAuth{IAM: &stores.VaultIAMAuth{Role: "r"}}), nil},
		"iam and the role of its name":    {auth(stores.VaultAuth{IAM: &stores.VaultIAMAuth{Region: "eu-west-1", SecretRef: &stores.AWSAuthSecretRef{AccessKeyID: sel, SecretAccessKey: sel}}}), nil},
		"iam at places that are none":     {auth(stores.VaultAuth{IAM: &stores.VaultIAMAuth{Path: "../x", Region: "evil.example.com/", ServerID: "a\nb"}}), []string{"auth.iam.path", "auth.iam.region", "auth.iam.vaultAwsIamServerID"}},
		"iam of nobody":                   {auth(stores.VaultAuth{IAM: &stores.VaultIAMAuth{JWT: &stores.AWSJWTAuth{}}}), []string{"auth.iam.jwt.serviceAccountRef"}},
		"iam with half a key":             {auth(stores.VaultAuth{IAM: &stores.VaultIAMAuth{SecretRef: &stores.AWSAuthSecretRef{AccessKeyID: sel}}}), []string{"auth.iam.secretRef.secretAccessKeySecretRef"}},
		"gcp":                             {auth(stores.VaultAuth{GCP: &stores.VaultGCPAuth{Role: "r", ServiceAccountRef: &stores.ServiceAccountSelector{}}}), nil},
		"gcp without a role":              {auth(stores.VaultAuth{GCP: &stores.VaultGCPAuth{Path: "../x", SecretRef: &stores.GCPAuthSecretRef{}}}), []string{"auth.gcp.path", "auth.gcp.role", "auth.gcp.secretRef.secretAccessKeySecretRef"}},
		"gcp of nobody":                   {auth(stores.VaultAuth{GCP: &stores.VaultGCPAuth{Role: "r", WorkloadIdentity: &stores.GCPWorkloadIdentity{ClusterProjectID: "a/b"}}}), []string{"auth.gcp.workloadIdentity.serviceAccountRef.name", "auth.gcp.workloadIdentity.clusterProjectID"}},
		"of two methods the first counts": {auth(stores.VaultAuth{TokenSecretRef: sel, IAM: &stores.VaultIAMAuth{}}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, p := range (Provider{}).Validate(providers.Config{Spec: tc.spec}) {
				got = append(got, p.Field)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("problems with %q, want %q", got, tc.want)
			}
		})
	}
}

func FuzzAPathStaysBelowItsMount(f *testing.F) {
	for _, seed := range [][2]string{{"secret", "app/db"}, {"secret/", "/secret/data//x"}, {"a/b", "a/b"}, {"kv", "data/"}, {"kv", "x\x00"}, {"kv", "../sys"}, {"kv", "a/./b"}, {"", "kv/x"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, mount, key string) {
		if clean(mount) == "" || clean(key) == "" || !safePath(mount) || !safePath(key) {
			return
		}
		for _, v1 := range []bool{false, true} {
			e := engine{mount: mount, v1: v1}
			data, below := e.dataPath(key), clean(mount)+"/"
			if !v1 {
				below += partData + "/"
			}
			if !strings.HasPrefix(data, below) || !safePath(data) {
				t.Errorf("mount %q and key %q lead to %q", mount, key, data)
			}
			if again := e.dataPath(data); mount == clean(mount) && again != data && !strings.HasPrefix(data, below+mount+"/") {
				t.Errorf("mount %q and key %q: %q leads to %q", mount, key, data, again)
			}
		}
	})
}
