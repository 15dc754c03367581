package gcp

import (
	"regexp"
	"strings"
)

// The names that Secret Manager accepts. They become parts of resource names and, for the location, of a host name: nothing
// that separates parts may be in them.
var (
	secretNames  = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,255}$`)
	versionNames = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,63}$`) // a number, an alias, or latest
	projectNames = regexp.MustCompile(`^[a-z0-9][a-z0-9.:-]{0,127}$`)
	locations    = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	labelNames   = regexp.MustCompile(`^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$`)
	labelValues  = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$`)
	emails       = regexp.MustCompile(`^[a-z0-9-]+@([a-z0-9-]+\.)+gserviceaccount\.com$`)
)

// latest is the version that is read when none is named.
const latest = "latest"

// host is where the secrets of a location are; those without one are global.
func host(location string) string {
	if location == "" {
		return "secretmanager.googleapis.com"
	}
	return "secretmanager." + location + ".rep.googleapis.com"
}

// parent is the resource that holds the secrets of a project and location.
func parent(project, location string) string {
	if location == "" {
		return "projects/" + project
	}
	return "projects/" + project + "/locations/" + location
}

// lastPart is what stands behind the last slash of a resource name: the secret's own name, or the version's. Secret Manager
// answers with the number of a project in the place of its name, so the rest cannot be compared.
func lastPart(resource string) string { return resource[strings.LastIndexByte(resource, '/')+1:] }
