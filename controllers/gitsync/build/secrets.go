package build

import (
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/sealbridge/sealbridge/providers"
)

// Finding is a Secret that has values which were not encrypted in Git.
type Finding struct {
	// File is where the Secret comes from.
	File string
	// Object names the Secret: "Secret shop/db".
	Object string
	// Keys are the keys at fault.
	Keys []string
}

const listed = 10

// DenyPlaintext is the policy plaintextSecrets: Deny. It returns nil when there is no finding, else an error with
// ErrInvalid that names each file and its keys.
func DenyPlaintext(findings []Finding) error {
	if len(findings) == 0 {
		return nil
	}
	texts := make([]string, 0, min(len(findings), listed)+1)
	for i, f := range findings {
		if i == listed {
			texts = append(texts, fmt.Sprintf("and %d more", len(findings)-listed))
			break
		}
		texts = append(texts, fmt.Sprintf("%s: %s has %s", show(f.File), f.Object, strings.Join(few(f.Keys), ", ")))
	}
	return providers.Errorf(providers.ErrInvalid,
		"values of Secrets lie in Git in plain text (%s); encrypt them with SOPS, or replace the Secret by a SealedSecret or an ExternalSecret",
		strings.Join(texts, "; "))
}

func few(keys []string) []string {
	if len(keys) <= listed {
		return keys
	}
	return append(keys[:listed:listed], fmt.Sprintf("%d more keys", len(keys)-listed))
}

var secretKey = regexp.MustCompile(`^[-._a-zA-Z0-9]+$`)

func isSecretKey(key string) bool { return len(key) <= 253 && secretKey.MatchString(key) }

// eachValue visits the values of a Secret that are not null, in their order, with the field that they stand in.
func eachValue(object map[string]any, visit func(field, key string, value any)) {
	if object["kind"] != "Secret" || object["apiVersion"] != "v1" {
		return
	}
	for _, field := range []string{"data", "stringData"} {
		values, _ := object[field].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if values[key] != nil {
				visit(field, key, values[key])
			}
		}
	}
}

// notText returns the paths of the values of a Secret that are a number, a list or a map, which the API server refuses.
// Encrypted, such a value looks to its author like any other.
func notText(object map[string]any) (fields []string) {
	eachValue(object, func(field, key string, value any) {
		if _, isText := value.(string); !isText {
			fields = append(fields, field+"."+showField(key))
		}
	})
	return fields
}

// plainKeys returns the keys of a Secret whose values were not encrypted in Git: those that no encrypted file that went
// into the object had as an encrypted value, or as its whole content. Empty values do not count. How the value came into
// the Secret (a file, a generator, a patch, a replacement) makes no difference, because only the outcome is looked at.
func plainKeys(object map[string]any, sealed func([]byte) bool) []string {
	plain := map[string]bool{}
	eachValue(object, func(field, key string, value any) {
		text, isText := value.(string)
		if isText && (text == "" || wasSealed(text, field == "data", sealed)) {
			return
		}
		if !isSecretKey(key) {
			key = "a key that is not valid"
		}
		plain[key] = true
	})
	return slices.Sorted(maps.Keys(plain))
}

// wasSealed looks for a value in the forms in which it can have stood in an encrypted file: as it is (base64 in data
// included), decoded, and as a line of a dotenv file, where line breaks are written as \n.
func wasSealed(text string, encoded bool, sealed func([]byte) bool) bool {
	if sealed == nil {
		return false
	}
	forms := []string{text}
	if encoded {
		if decoded, err := base64.StdEncoding.DecodeString(text); err == nil {
			forms = append(forms, string(decoded))
		}
	}
	for _, form := range forms {
		if sealed([]byte(form)) || sealed([]byte(strings.ReplaceAll(form, `\n`, "\n"))) {
			return true
		}
	}
	return false
}

// sopsValue is an encrypted value of SOPS, anywhere in a text.
var sopsValue = regexp.MustCompile(`ENC\[AES256_GCM,data:[A-Za-z0-9+/=]+,iv:`)

// leftover finds what SOPS encrypted and nobody decrypted: its metadata at the top of an object, or one of its values
// anywhere, also inside of a Secret's base64. It returns the field's path.
func leftover(object map[string]any) (field string, found bool) {
	if sops, ok := object["sops"].(map[string]any); ok {
		for _, key := range []string{"mac", "lastmodified", "age", "pgp", "kms", "key_groups"} {
			if _, ok := sops[key]; ok {
				return "sops", true
			}
		}
	}
	secret := object["kind"] == "Secret"
	for name, value := range object {
		if at, ok := leftoverIn(value, secret && name == "data"); ok {
			return strings.TrimSuffix(showField(name)+"."+at, "."), true
		}
	}
	return "", false
}

func leftoverIn(value any, encoded bool) (at string, found bool) {
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			if below, ok := leftoverIn(item, encoded); ok {
				return strings.TrimSuffix(showField(key)+"."+below, "."), true
			}
		}
	case []any:
		for _, item := range value {
			if below, ok := leftoverIn(item, encoded); ok {
				return below, true
			}
		}
	case string:
		if sopsValue.MatchString(value) {
			return "", true
		}
		if decoded, err := base64.StdEncoding.DecodeString(value); encoded && err == nil {
			return "", sopsValue.Match(decoded)
		}
	}
	return "", false
}

func showField(name string) string {
	if !isSecretKey(name) {
		return "?"
	}
	return name
}
