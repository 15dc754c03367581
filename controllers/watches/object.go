package watches

import (
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The kinds that can be followed.
const (
	Secret         = "Secret"
	ConfigMap      = "ConfigMap"
	ServiceAccount = "ServiceAccount"
	// Secrets are those that a search finds; Search makes such an object.
	Secrets = "Secrets"
)

// Object names a Secret, ConfigMap or ServiceAccount, or what a search finds.
type Object struct {
	// Kind is one of these; an object of any other kind is never seen.
	Kind string
	// Name is empty for a search.
	Namespace, Name string
	// Labels and Match are what a search looks for: a selector, and an expression that is found in the name.
	Labels, Match string
}

func (o Object) String() string { return o.Kind + " " + o.Namespace + "/" + o.Name }

// searched reports whether the object is what a search finds.
func (o Object) searched() bool { return o.Kind == Secrets }

func (o Object) resource() schema.GroupVersionResource {
	gvr := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	switch o.Kind {
	case ConfigMap:
		gvr.Resource = "configmaps"
	case ServiceAccount:
		gvr.Resource = "serviceaccounts"
	}
	return gvr
}

// Version is the content of an object at one time: its resourceVersion, Absent when there is no such object, or empty
// when nobody knows.
type Version string

// Absent is the version of an object that does not exist.
const Absent Version = "absent"

// Newer reports whether now is a later content than was. What is not known is not newer, and neither is a version from
// before was: a watch can be behind what was read.
func (now Version) Newer(was Version) bool {
	if now == "" || was == "" || now == was {
		return false
	}
	seenNow, foundNow, searched := strings.Cut(string(now), "/")
	seenWas, foundWas, _ := strings.Cut(string(was), "/")
	n, errNow := strconv.ParseUint(seenNow, 10, 64)
	w, errWas := strconv.ParseUint(seenWas, 10, 64)
	if searched { // what has gone is seen no later than what was read last
		return foundNow != foundWas && n >= w
	}
	return errNow != nil || errWas != nil || n > w
}
