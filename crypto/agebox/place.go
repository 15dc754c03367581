package agebox

import "errors"

// Scope says how much of a place a value is bound to. Its numbers are those of the format.
type Scope byte

// The scopes.
const (
	// Strict binds a value to a namespace and a name.
	Strict Scope = 1
	// NamespaceWide binds a value to a namespace.
	NamespaceWide Scope = 2
	// ClusterWide binds a value to nothing.
	ClusterWide Scope = 3
)

// Place is where a value may be opened.
type Place struct {
	Scope Scope
	// Namespace and Name count as far as the scope has them.
	Namespace, Name string
}

// ErrPlace says that the scope is none, or needs a namespace or name that is missing or longer than 255 bytes.
var ErrPlace = errors.New("a sealed value needs a scope, and the namespace and name that the scope is about")

// domain begins every sealed plaintext, so that nothing else that was encrypted to the same key is taken for a value. The
// number is the version of what follows.
const domain = "sealbridge.dev/1"

// header returns what the sealed plaintext begins with for a place. No header begins another one.
func (p Place) header() ([]byte, error) {
	namespace, name := p.Namespace, p.Name
	switch p.Scope {
	case Strict:
	case NamespaceWide:
		name = ""
	case ClusterWide:
		namespace, name = "", ""
	default:
		return nil, ErrPlace
	}
	if p.Scope != ClusterWide && namespace == "" || p.Scope == Strict && name == "" || len(namespace) > 255 || len(name) > 255 {
		return nil, ErrPlace
	}
	out := make([]byte, 0, len(domain)+3+len(namespace)+len(name))
	out = append(out, domain...)
	out = append(out, byte(p.Scope), byte(len(namespace))) //nolint:gosec // bounded above
	out = append(out, namespace...)
	out = append(out, byte(len(name))) //nolint:gosec // bounded above
	return append(out, name...), nil
}
