package azure

import (
	"fmt"
	"strings"
)

// kind is what a vault holds under a name.
type kind string

const (
	kindSecret      kind = "secret"
	kindCertificate kind = "cert"
	kindKey         kind = "key"
	// kindList is the list of all secrets.
	kindList kind = "list"
)

// object names something in a vault.
type object struct {
	kind          kind
	name, version string
}

// objectOf reads the key of a reference: "name", or the kind before it, as in "cert/name". What follows a second slash is
// left out, as External Secrets Operator 2.9 does (getObjType in providers/v1/azure/keyvault/keyvault.go).
func objectOf(key, version string) (object, bool) {
	first, rest, found := strings.Cut(key, "/")
	if !found {
		return object{kindSecret, key, version}, validName(key) && validVersion(version)
	}
	name, _, _ := strings.Cut(rest, "/")
	o := object{kind(first), name, version}
	switch o.kind {
	case kindSecret, kindCertificate, kindKey:
		return o, validName(name) && validVersion(version)
	default:
		return o, false
	}
}

// validName reports whether an object can have a name: 1 to 127 letters, digits and dashes (Key Vault, "Objects, identifiers
// and versioning").
func validName(name string) bool { return name != "" && len(name) <= 127 && plain(name, true) }

func validVersion(version string) bool { return len(version) <= 127 && plain(version, false) }

func plain(text string, dash bool) bool {
	return strings.IndexFunc(text, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r != '-' || !dash)
	}) < 0
}

// collection is the part of an identifier that says what kind of object it is of.
func (o object) collection() string {
	return map[kind]string{kindSecret: "secrets", kindCertificate: "certificates", kindKey: "keys"}[o.kind]
}

func (o object) plain() string {
	noun := map[kind]string{kindSecret: "secret", kindCertificate: "certificate", kindKey: "key"}[o.kind]
	return fmt.Sprintf("%s %q", noun, o.name)
}

func (o object) String() string {
	switch {
	case o.kind == kindList:
		return "the list of secrets"
	case o.version != "":
		return fmt.Sprintf("version %q of %s", o.version, o.plain())
	default:
		return o.plain()
	}
}

// asked is what was to be done with the object.
func (o object) asked() string {
	if o.kind == kindList {
		return "list secrets"
	}
	return "read " + o.plain()
}

// right is what the identity must be granted: the permission of an access policy, or the smallest built-in role.
func (o object) right() string {
	switch o.kind {
	case kindCertificate:
		return "certificates/get (the role Key Vault Certificate User, or Get for certificates in an access policy)"
	case kindKey:
		return "keys/get (the role Key Vault Crypto User, or Get for keys in an access policy)"
	case kindList:
		return "secrets/list (the role Key Vault Secrets User, or List for secrets in an access policy)"
	default:
		return "secrets/get (the role Key Vault Secrets User, or Get for secrets in an access policy)"
	}
}
