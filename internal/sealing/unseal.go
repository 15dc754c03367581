package sealing

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/manifest"
	"github.com/sealbridge/sealbridge/internal/template"
)

// Recovered is a v1 Secret as recovery writes it, in the order of fields of kubeseal. It is plaintext.
type Recovered struct {
	Kind       string            `json:"kind"`
	APIVersion string            `json:"apiVersion"`
	Metadata   Metadata          `json:"metadata"`
	Immutable  *bool             `json:"immutable,omitempty"`
	Data       map[string][]byte `json:"data,omitempty"`
	Type       string            `json:"type,omitempty"`
}

// PrivateKeys are sealing keys of both formats, as a backup may hold them: RSA keys without certificates, and age
// identities.
type PrivateKeys []keyring.Key

// Candidates implements seal.Keys, in the order in which the keys were given.
func (k PrivateKeys) Candidates(hint string) []keyring.Key {
	out := make([]keyring.Key, 0, len(k))
	for _, key := range k {
		if key.Fingerprint() == hint {
			out = slices.Insert(out, 0, key)
		} else {
			out = append(out, key)
		}
	}
	return out
}

const privateKeysHint = "give a PEM file, an identity file of age, or the sealing-key Secrets: " +
	"kubectl get secret -l sealedsecrets.bitnami.com/sealed-secrets-key -o yaml, and -l sealbridge.dev/sealing-key for the native format"

// ReadPrivateKeys returns the private keys of a backup: RSA keys in PEM, identities in a file of age, or key Secrets of
// both formats in YAML or JSON, also in a v1 List or a list that has lost its kind. It refuses a backup without any, and a Secret without a usable key. It
// quotes nothing.
func ReadPrivateKeys(data []byte) (PrivateKeys, error) {
	var keys PrivateKeys
	for key := range keyring.PrivateKeys(data) {
		keys = append(keys, keyring.NewPrivateKey(key))
	}
	if len(keys) > 0 {
		return keys, nil
	}
	if isIdentityFile(data) {
		identities, err := agebox.ParseIdentities(data)
		if err != nil {
			return nil, &Error{Problem: err.Error(), Hint: privateKeysHint, Cause: err}
		}
		for _, i := range identities {
			keys = append(keys, keyring.NewIdentity(i, time.Time{}))
		}
		return keys, nil
	}
	const hint = privateKeysHint
	documents, err := readKeySecrets(data)
	if err != nil {
		return nil, &Error{Problem: "neither a private key in PEM, an age identity nor Secrets in YAML or JSON", Hint: hint, Cause: err}
	}
	for _, d := range documents {
		secret, err := parseSecret(d)
		if err != nil { // whose hint is for somebody who seals
			return nil, &Error{Problem: err.Error(), Hint: hint, Cause: err}
		}
		if text, ok := secret.Data["identity.txt"]; ok {
			identity, err := keyring.ParseIdentity(text, time.Time{})
			if err != nil {
				return nil, &Error{Problem: secret.where + ": identity.txt: " + err.Error(), Hint: hint, Cause: err}
			}
			keys = append(keys, identity)
			continue
		}
		text, ok := secret.Data["tls.key"]
		if !ok {
			return nil, problem(hint, "%s: secret must contain a 'tls.key' key", secret.where)
		}
		key, err := keyring.ParsePrivateKey(text)
		if err != nil {
			return nil, &Error{Problem: secret.where + ": tls.key: " + err.Error(), Hint: hint, Cause: err}
		}
		keys = append(keys, keyring.NewPrivateKey(key))
	}
	if len(keys) == 0 {
		return nil, problem(hint, "no private key found")
	}
	return keys, nil
}

// readKeySecrets returns the documents of a backup. Programs that write the list which a typed client of Kubernetes has
// given them write no kind: what has items and no kind is a list of Secrets here.
func readKeySecrets(data []byte) ([]manifest.Document, error) {
	documents, err := readDocuments(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var out []manifest.Document
	for _, d := range documents {
		_, isList := d.Object["items"].([]any)
		if apiVersion, kind := d.Kind(); isList && apiVersion == "" && kind == "" {
			d.Object["apiVersion"], d.Object["kind"] = "v1", "SecretList"
		}
		items, err := manifest.Items(d)
		if err != nil {
			return nil, inputError(err)
		}
		out = append(out, items...)
	}
	return out, nil
}

// isIdentityFile says whether the first line that is no comment is of an age identity.
func isIdentityFile(data []byte) bool {
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return bytes.HasPrefix(line, []byte("AGE-"))
		}
	}
	return false
}

// Unseal returns the Secrets of a stream of SealedSecrets, with their templates rendered. The Secrets have no owner: an
// owner reference to an object of a lost cluster would make the garbage collector delete them.
func Unseal(ctx context.Context, r io.Reader, keys seal.Keys) ([]Recovered, error) {
	documents, err := readDocuments(r)
	if err != nil {
		return nil, err
	}
	var out []Recovered
	for _, d := range documents {
		secret, err := unseal(ctx, d, keys)
		if err != nil {
			return nil, err
		}
		out = append(out, *secret)
	}
	if len(out) == 0 {
		return nil, noSealedSecrets()
	}
	return out, nil
}

func unseal(ctx context.Context, d manifest.Document, keys seal.Keys) (*Recovered, error) {
	o := newObject(d)
	requireSealedSecret(o, d)
	own, meta := o.metadata("metadata"), o.metadata("spec", "template", "metadata")
	meta.Name, meta.Namespace, meta.GenerateName = own.Name, own.Namespace, ""
	secret := &Recovered{
		Kind: "Secret", APIVersion: "v1", Metadata: meta,
		Type: o.text("spec", "template", "type"), Immutable: o.boolean("spec", "template", "immutable"),
	}
	sealed, templates := o.texts("spec", "encryptedData"), o.mapping("spec", "template", "data")
	sources := o.nonNull(templates, "spec", "template", "data")
	if o.at("spec", "data") != nil {
		o.fail("apply it to a cluster, whose controller still opens the old format", "using deprecated 'data' field, use 'encryptedData'")
	}
	if o.err != nil {
		return nil, o.err
	}
	values, err := openAll(ctx, seal.NewOpener(keys, "", 0), own, sealed)
	if err != nil {
		return nil, err
	}
	secret.Data, err = render(ctx, o.where, values, sources)
	if err != nil {
		return nil, err
	}
	for key, source := range templates {
		if source == nil { // Sealed Secrets v0.40: a null keeps a sealed value for the templates and out of the Secret.
			delete(secret.Data, key)
		}
	}
	return secret, nil
}

func requireSealedSecret(o *object, d manifest.Document) {
	apiVersion, kind := d.Kind()
	if kind != Kind {
		hint := "give a SealedSecret, as sealbridge seal makes it"
		if strings.HasSuffix(kind, "List") {
			hint = "sealbridge set, unset, edit, rewrap and seal --update change SealedSecrets in lists"
		}
		o.fail(hint, "is a %s, not a SealedSecret", readable(kind))
	} else if apiVersion != APIVersion {
		o.fail("write apiVersion: "+APIVersion, "the apiVersion is not "+APIVersion)
	}
}

// nonNull returns the string values of a map field.
func (o *object) nonNull(fields map[string]any, path ...string) map[string]string {
	out := make(map[string]string, len(fields))
	for key, value := range fields {
		text, ok := value.(string)
		if !ok && value != nil {
			o.fail(quote, "%s[%q] is not a string", dotted(path), key)
		}
		if ok {
			out[key] = text
		}
	}
	return out
}

// openAll opens every value, or says which keys cannot be opened, with Sealed Secrets' text for it.
func openAll(ctx context.Context, opener *seal.Opener, meta Metadata, sealed map[string]string) (map[string][]byte, error) {
	values := make(map[string][]byte, len(sealed))
	var reasons []string
	failed := map[string][]string{}
	for _, key := range slices.Sorted(maps.Keys(sealed)) {
		value, err := opener.Open(ctx, seal.ScopeOf(meta.Annotations), meta.Namespace, meta.Name, sealed[key])
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			if len(failed[err.Error()]) == 0 {
				reasons = append(reasons, err.Error())
			}
			failed[err.Error()] = append(failed[err.Error()], key)
			continue
		}
		values[key] = value
	}
	if len(reasons) == 0 {
		return values, nil
	}
	for i, reason := range reasons {
		reasons[i] = reason + " (" + strings.Join(failed[reason], ", ") + ")"
	}
	return nil, problem("a value opens under the namespace, name and scope that it was sealed for, and with the key that it was sealed to",
		"%s", strings.Join(reasons, "; "))
}

// render adds what the templates print to the values; a sealed value wins over a template of the same key.
func render(ctx context.Context, where string, values map[string][]byte, sources map[string]string) (map[string][]byte, error) {
	data := make(map[string]string, len(values)+len(sources))
	for key, source := range sources {
		data[key] = source
	}
	for key, value := range values {
		data[key] = string(value)
	}
	renderer := template.New(template.Options{MissingKey: template.MissingKeyNoValue})
	for _, key := range slices.Sorted(maps.Keys(sources)) {
		text, err := renderer.Render(ctx, key, sources[key], data)
		if err != nil {
			var fault *template.Error
			if errors.As(err, &fault) {
				return nil, problem("correct spec.template.data", "%s: %s", where, fault)
			}
			return nil, err
		}
		if _, isSealed := values[key]; !isSealed {
			values[key] = text
		}
	}
	return values, nil
}
