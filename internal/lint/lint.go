package lint

import (
	"bytes"
	"cmp"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sealbridge/sealbridge/crypto/sopsdoc"
	"github.com/sealbridge/sealbridge/internal/manifest"
	"github.com/sealbridge/sealbridge/internal/yamledit"
)

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	// Error: it does not work, or a secret is in danger.
	Error Severity = "error"
	// Warning: it works, and probably not as its author thinks.
	Warning Severity = "warning"
)

// Finding is one thing that is wrong.
type Finding struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Severity Severity `json:"severity"`
	// Check names the rule; it does not change between versions.
	Check string `json:"check"`
	// Object is the kind and name of the object, where there is one.
	Object  string `json:"object,omitempty"`
	Problem string `json:"problem"`
	Hint    string `json:"hint"`
}

// Options say what is known beside the files.
type Options struct {
	// Certificate is the one that the cluster seals to; nil when it is not known.
	Certificate *Certificate
	// Now is the time for which certificates are judged.
	Now time.Time
}

// Certificate is what there is to know about a sealing certificate.
type Certificate struct {
	Key      *rsa.PublicKey
	NotAfter time.Time
}

// soon is how long before its end a certificate is warned of.
const soon = 30 * 24 * time.Hour

// CheckCertificate judges the certificate itself, once for all files. name is its file.
func CheckCertificate(name string, o Options) []Finding {
	end := o.Certificate.NotAfter.UTC().Format("January 2, 2006")
	f := Finding{File: printable(name), Line: 1, Check: "certificate", Severity: Error, Hint: "get the current one: sealbridge seal --fetch-cert"}
	switch {
	case o.Now.After(o.Certificate.NotAfter):
		f.Problem = "the certificate has expired on " + end
	case o.Now.Add(soon).After(o.Certificate.NotAfter):
		f.Severity, f.Problem = Warning, "the certificate expires on "+end
	default:
		return nil
	}
	return []Finding{f}
}

// file is one file that is looked at.
type file struct {
	name     string
	options  Options
	findings []Finding
}

func (f *file) add(severity Severity, line int, check, object, hint, format string, args ...any) {
	f.findings = append(f.findings, Finding{
		File: f.name, Line: line, Severity: severity, Check: check, Object: object, Problem: fmt.Sprintf(format, args...), Hint: hint,
	})
}

var privateKey = regexp.MustCompile(`(?m)^[ \t-]*(?:[A-Za-z0-9_."']+:[ \t]*)?["']?(AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{20}|-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----)`)

// File returns what is wrong with a file, in the order of lines. The file's extension says what it is; what is neither a
// manifest nor a SOPS file has no findings but for private keys.
func File(name string, data []byte, o Options) []Finding {
	f := &file{name: printable(name), options: o}
	data, isUTF16 := manifest.FromUTF16(data)
	if isUTF16 && concerned.Match(data) {
		f.add(Error, 1, "unreadable", "", "save it as UTF-8; Windows PowerShell writes UTF-16 unless -Encoding utf8 is given", "the file has a secret and is UTF-16, which SealBridge does not read")
	}
	for _, at := range privateKey.FindAllIndex(data, -1) {
		f.add(Error, 1+bytes.Count(data[:at[1]], []byte("\n")), "private-key", "", "remove it from the repository and its history, and replace the key",
			"a private key stands here in plain text")
	}
	format := sopsdoc.FormatOf(name)
	switch {
	case sopsdoc.Detect(format, data):
		f.sops(format, data)
	case format == sopsdoc.YAML || format == sopsdoc.JSON:
		f.manifests(data)
	}
	slices.SortStableFunc(f.findings, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	return f.findings
}

// concerned says whether a file that cannot be read may hold what is looked for.
var concerned = regexp.MustCompile(`(?m)(?:^|[{,])[ \t-]*["']?kind["']?[ \t]*:[ \t]*["']?(SealedSecret|Secret)(List)?\b`)

func (f *file) manifests(data []byte) {
	documents, err := manifest.Read(bytes.NewReader(data), manifest.Limits{})
	if err != nil {
		at := concerned.FindIndex(data)
		if at == nil {
			return
		}
		line := 1 + bytes.Count(data[:at[1]], []byte("\n"))
		var bad *manifest.Error
		if errors.As(err, &bad) && bad.Line > 0 {
			line = bad.Line
		}
		if bytes.Contains(data, []byte("{{")) && !errors.Is(err, manifest.ErrUnmerged) {
			f.add(Warning, line, "unreadable", "", "check what the template renders, not the template", "the file is no YAML before it is rendered, so that its secrets were not looked at")
			return
		}
		problem := "it is larger than is looked at"
		if bad != nil {
			problem = bad.Problem
		}
		f.add(Error, line, "unreadable", "", "correct it; Kubernetes cannot read it either, or reads something else than its author", "the file has a secret and cannot be read: %s", problem)
		return
	}
	for _, d := range documents {
		lines := yamledit.NewLines(d.Raw, d.RawLine())
		items, err := manifest.Items(d)
		var bad *manifest.Error
		if errors.As(err, &bad) && concerned.Match(d.Raw) {
			f.add(Error, d.Line, "unreadable", "", "correct it; Kubernetes cannot read it either", "the list has a secret and not all of it can be read: %s", bad.Problem)
		}
		for _, item := range items {
			f.object(&object{item: item, lines: lines})
		}
	}
}

func (f *file) object(o *object) {
	switch apiVersion, kind := o.item.Kind(); {
	case kind == "Secret" && (apiVersion == "v1" || apiVersion == ""): // which kubeseal takes
		f.secret(o)
	case kind == "SealedSecret" && strings.HasPrefix(apiVersion, "bitnami.com/"):
		f.sealedSecret(o)
	}
}

// secret finds the values of a Secret that stands in plain text.
func (f *file) secret(o *object) {
	for _, field := range []string{"binaryData", "data", "stringData"} {
		values := o.mapping(field)
		if o.at(field) != nil && values == nil {
			f.add(Error, o.line(field), "plaintext", o.name(), "write a map of keys and values, and seal it; then replace the value, because history keeps it", "%s of a Secret is in plain text, and is no map", field)
		}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if text, ok := values[key].(string); ok && text == "" || values[key] == nil {
				continue
			}
			f.add(Error, o.line(field, key), "plaintext", o.name(), "seal it (sealbridge seal), refer to a store (ExternalSecret), or encrypt the file with SOPS; then replace the value, because history keeps it",
				"%s[%q] of a Secret is in plain text", field, key)
		}
	}
	for _, field := range slices.Sorted(maps.Keys(o.item.Object)) {
		known := []string{"apiVersion", "kind", "metadata", "type", "immutable", "binaryData", "data", "stringData", "sops"}
		if !slices.Contains(known, field) && !strings.HasPrefix(field, "$") { // as in patches of Kustomize
			// Not named: in a Secret whose indentation slipped it may be a value.
			f.add(Warning, o.line(field), "plaintext", o.name(), "check the spelling and indentation; if it is a value, replace it, because history keeps it", "here stands a field that a Secret does not have, and which may be a value in plain text")
		}
	}
	f.lastApplied(o, "metadata")
}

// lastApplied finds the annotations in which kubectl keeps a whole object, values included.
func (f *file) lastApplied(o *object, path ...string) {
	annotations := o.mapping(append(slices.Clone(path), "annotations")...)
	for _, name := range []string{"kubectl.kubernetes.io/last-applied-configuration", "kubecfg.ksonnet.io/last-applied-configuration"} {
		if text, _ := annotations[name].(string); text != "" {
			f.add(Error, o.line(append(slices.Clone(path), "annotations", name)...), "last-applied", o.name(), "remove the annotation, and replace the values that it shows",
				"the annotation %s holds the object as it was applied, with its values", name)
		}
	}
}
