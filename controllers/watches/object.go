package watches

import (
	"strconv"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The kinds that can be followed.
const (
	Secret         = "Secret"
	ConfigMap      = "ConfigMap"
	ServiceAccount = "ServiceAccount"
)

// Object names a Secret, ConfigMap or ServiceAccount.
type Object struct {
	// Kind is one of the three; an object of any other kind is never seen.
	Kind            string
	Namespace, Name string
}

func (o Object) String() string { return o.Kind + " " + o.Namespace + "/" + o.Name }

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
	n, errNow := strconv.ParseUint(string(now), 10, 64)
	w, errWas := strconv.ParseUint(string(was), 10, 64)
	return errNow != nil || errWas != nil || n > w
}
