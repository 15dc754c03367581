package azurecloud

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Vault is a key vault.
type Vault struct {
	cloud *Cloud
	host  string

	mu sync.Mutex
	// objects are by kind ("secrets", "certificates", "keys") and name, each version after the one before.
	objects map[string]map[string][]stored
	rights  map[string][]string
}

// Object is one version of a secret, a certificate or a key.
type Object struct {
	// Value is of a secret, DER of a certificate, and Key of a key.
	Value string
	DER   []byte
	Key   *rsa.PublicKey

	ContentType string
	Tags        map[string]string
	Disabled    bool
	// Created and Updated are now when they are zero; Expires and NotBefore are never then.
	Created, Updated, Expires, NotBefore time.Time
}

type stored struct {
	Object
	version string
}

// Rights of identities, as access policies name them.
const (
	GetSecrets      = "secrets/get"
	ListSecrets     = "secrets/list"
	GetCertificates = "certificates/get"
	GetKeys         = "keys/get"
)

// Vault returns the vault of a name, which it makes when there is none yet. A name may end with the domain of another cloud.
func (c *Cloud) Vault(name string) *Vault {
	host := name
	if !strings.Contains(name, ".") {
		host = name + "." + vaultDomain
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.vaults[host] == nil {
		c.vaults[host] = &Vault{cloud: c, host: host, objects: map[string]map[string][]stored{}, rights: map[string][]string{}}
	}
	return c.vaults[host]
}

// The domains of vaults in other clouds, for names of Vault.
const (
	InGovernment = "." + governmentDomain
	InCustom     = "." + customDomain
)

// URL is the vault's address.
func (v *Vault) URL() string { return "https://" + v.host }

// Host is the vault's name.
func (v *Vault) Host() string { return v.host }

// Grant gives an identity rights.
func (v *Vault) Grant(client string, rights ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rights[client] = append(v.rights[client], rights...)
}

// SetSecret writes a new version of a secret and returns it.
func (v *Vault) SetSecret(name string, o Object) string { return v.set("secrets", name, o) }

// SetCertificate writes a new version of a certificate and returns it.
func (v *Vault) SetCertificate(name string, o Object) string { return v.set("certificates", name, o) }

// SetKey writes a new version of a key and returns it.
func (v *Vault) SetKey(name string, o Object) string { return v.set("keys", name, o) }

func (v *Vault) set(kind, name string, o Object) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if o.Created.IsZero() {
		o.Created = now
	}
	if o.Updated.IsZero() {
		o.Updated = o.Created
	}
	if v.objects[kind] == nil {
		v.objects[kind] = map[string][]stored{}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%s/%d", v.host, kind, name, len(v.objects[kind][name])))
	version := hex.EncodeToString(sum[:16])
	v.objects[kind][name] = append(v.objects[kind][name], stored{o, version})
	return version
}

// DeleteSecret deletes a secret: it is in the recycle bin then.
func (v *Vault) DeleteSecret(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.objects["secrets"], name)
}

// Challenge answers a request without a token as a vault of the public cloud does.
func Challenge(w http.ResponseWriter) { challenge(w, Authority, vaultDomain) }

func challenge(w http.ResponseWriter, authority, domain string) {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer authorization=\"https://%s/%s\", resource=\"https://%s\"", authority, Tenant, domain))
	refuse(w, http.StatusUnauthorized, "Unauthorized", "")
}

// refuse writes Azure's error (Microsoft REST API guidelines, "Error condition responses").
func refuse(w http.ResponseWriter, status int, code, inner string) {
	e := map[string]any{"code": code, "message": "no: canary-7f3e91c4, request " + strconv.FormatInt(time.Now().UnixNano(), 10)}
	if inner != "" {
		e["innererror"] = map[string]any{"code": inner}
	}
	writeJSON(w, status, map[string]any{"error": e})
}

// client returns whose token a request carries.
func (v *Vault) client(r *http.Request) (string, bool) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	_, domain, _ := strings.Cut(v.host, ".")
	v.cloud.mu.Lock()
	defer v.cloud.mu.Unlock()
	g, ok := v.cloud.tokens[token]
	return g.client, ok && g.resource == "https://"+domain && g.authority == authorityOf(domain) && g.expires.After(time.Now())
}

var objectName = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)

func (v *Vault) serve(w http.ResponseWriter, r *http.Request) {
	client, ok := v.client(r)
	if !ok {
		_, domain, _ := strings.Cut(v.host, ".")
		challenge(w, authorityOf(domain), domain)
		return
	}
	if r.Method != http.MethodGet || r.URL.Query().Get("api-version") == "" {
		refuse(w, http.StatusBadRequest, "BadParameter", "")
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	v.mu.Lock()
	defer v.mu.Unlock()
	allowed := func(right string) bool { return slices.Contains(v.rights[client], right) }
	switch {
	case len(parts) == 1 && parts[0] == "secrets" && !allowed(ListSecrets), len(parts) > 1 && !allowed(parts[0]+"/get"):
		refuse(w, http.StatusForbidden, "Forbidden", "ForbiddenByRbac")
	case len(parts) == 1 && parts[0] == "secrets":
		v.list(w, r)
	case len(parts) < 2 || len(parts) > 3:
		http.NotFound(w, r)
	case !objectName.MatchString(parts[1]):
		refuse(w, http.StatusBadRequest, "BadParameter", "")
	default:
		version := ""
		if len(parts) == 3 {
			version = parts[2]
		}
		v.get(w, parts[0], parts[1], version)
	}
}

func (v *Vault) get(w http.ResponseWriter, kind, name, version string) {
	noun := map[string]string{"secrets": "Secret", "certificates": "Certificate", "keys": "Key"}[kind]
	versions := v.objects[kind][name]
	i := len(versions) - 1
	if version != "" {
		i = slices.IndexFunc(versions, func(s stored) bool { return s.version == version })
	}
	switch {
	case i < 0:
		refuse(w, http.StatusNotFound, noun+"NotFound", "")
	case versions[i].Disabled && kind == "secrets":
		refuse(w, http.StatusForbidden, "Forbidden", "SecretDisabled")
	default:
		writeJSON(w, http.StatusOK, v.bundle(kind, name, versions[i]))
	}
}

func (v *Vault) bundle(kind, name string, s stored) map[string]any {
	id := v.URL() + "/" + kind + "/" + name + "/" + s.version
	out := v.properties(id, s)
	b64 := base64.RawURLEncoding.EncodeToString
	switch kind {
	case "secrets":
		out["value"] = s.Value
	case "certificates":
		out["cer"] = base64.StdEncoding.EncodeToString(s.DER)
		out["kid"], out["sid"] = v.URL()+"/keys/"+name+"/"+s.version, v.URL()+"/secrets/"+name+"/"+s.version
	case "keys":
		delete(out, "id")
		exponent := binary.BigEndian.AppendUint32(nil, uint32(s.Key.E)) //nolint:gosec // an exponent is small
		out["key"] = map[string]any{"kid": id, "kty": "RSA", "key_ops": []string{"sign", "verify"}, "n": b64(s.Key.N.Bytes()), "e": b64(exponent[1:])}
	}
	return out
}

func (v *Vault) properties(id string, s stored) map[string]any {
	attributes := map[string]any{
		"enabled": !s.Disabled, "created": s.Created.Unix(), "updated": s.Updated.Unix(), "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90,
	}
	if !s.Expires.IsZero() {
		attributes["exp"] = s.Expires.Unix()
	}
	if !s.NotBefore.IsZero() {
		attributes["nbf"] = s.NotBefore.Unix()
	}
	out := map[string]any{"id": id, "attributes": attributes}
	if s.ContentType != "" {
		out["contentType"] = s.ContentType
	}
	if len(s.Tags) > 0 {
		out["tags"] = s.Tags
	}
	return out
}

// pageSize is how many secrets a page has at most, as with Azure, which names the usual port in the address of the next.
const pageSize = 25

func (v *Vault) list(w http.ResponseWriter, r *http.Request) {
	names := slices.Sorted(maps.Keys(v.objects["secrets"]))
	from, _ := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
	from = min(max(from, 0), len(names))
	to := min(from+pageSize, len(names))
	page := []any{}
	for _, name := range names[from:to] {
		versions := v.objects["secrets"][name]
		page = append(page, v.properties(v.URL()+"/secrets/"+name, versions[len(versions)-1]))
	}
	out := map[string]any{"value": page, "nextLink": nil}
	if to < len(names) {
		out["nextLink"] = v.URL() + ":443/secrets?" + url.Values{"api-version": {r.URL.Query().Get("api-version")}, "$skiptoken": {strconv.Itoa(to)}}.Encode()
	}
	writeJSON(w, http.StatusOK, out)
}
