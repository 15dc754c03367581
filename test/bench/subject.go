package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// sealbridge is the name of our own controller among the subjects.
const sealbridge = "sealbridge"

// subject is a program that materializes ExternalSecrets.
type subject struct {
	name  string
	other bool // not ours
	// sealed is set for a tool that opens SealedSecrets and knows no ExternalSecrets.
	sealed bool
	path   string
	crds   string
	// args are its arguments besides those for this place; metrics and pprof are loopback ports.
	args func(w *world, metrics, pprof int) []string
}

// subjectsOf returns what is measured: our own controller, and after it, or in its place, the other tools.
func subjectsOf(set settings) ([]subject, error) {
	var subjects []subject
	if set.instead == "" {
		ours, err := subjectOf(sealbridge, set)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, ours)
	}
	for name := range strings.SplitSeq(set.instead+","+set.beside, ",") {
		if name == "" {
			continue
		}
		other, err := subjectOf(name, set)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, other)
	}
	return subjects, nil
}

func subjectOf(name string, set settings) (subject, error) {
	root, err := process.ModuleRoot()
	if err != nil {
		return subject{}, err
	}
	switch name {
	case sealbridge:
		path, err := process.Binary("sealbridge-controller")
		return subject{name: sealbridge, path: path, crds: filepath.Join(root, "config/crd"), args: ourArgs}, err
	case "sealbridge-v1":
		return oneVersion(name, root, set)
	case "eso":
		return esoSubject(name, set, nil)
	case "eso-tuned":
		// The best that was found for it: docs/performance.md.
		return esoSubject(name, set, []string{"--concurrent=10", "--client-qps=1000", "--client-burst=2000", "--enable-secrets-caching"})
	case "sealed-secrets":
		return sealedSecrets(name, root, nil)
	case "sealed-secrets-tuned":
		return sealedSecrets(name, root, []string{"--kubeclient-qps=-1"})
	default:
		return subject{}, fmt.Errorf("no tool %q: use sealbridge-v1, eso, eso-tuned, sealed-secrets or sealed-secrets-tuned", name)
	}
}

// oneVersion is our own controller where ExternalSecrets are served as v1 alone, as External Secrets Operator serves them: what
// docs/operations.md tells those to do who have no manifest of v1beta1.
func oneVersion(name, root string, set settings) (subject, error) {
	const file = "external-secrets.io_externalsecrets.yaml"
	raw, err := os.ReadFile(filepath.Join(root, "config/crd", file))
	if err != nil {
		return subject{}, fmt.Errorf("read the definition of ExternalSecrets: %w", err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(raw, &crd); err != nil {
		return subject{}, fmt.Errorf("read the definition of ExternalSecrets: %w", err)
	}
	crd.Spec.Versions = slices.DeleteFunc(crd.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return !v.Storage })
	if raw, err = yaml.Marshal(crd); err != nil {
		return subject{}, fmt.Errorf("encode the definition of ExternalSecrets: %w", err)
	}
	crds := filepath.Join(set.dir, name)
	if err := errors.Join(os.RemoveAll(crds), os.CopyFS(crds, os.DirFS(filepath.Join(root, "config/crd")))); err != nil {
		return subject{}, fmt.Errorf("copy the definitions: %w", err)
	}
	if err := os.WriteFile(filepath.Join(crds, file), raw, 0o600); err != nil {
		return subject{}, fmt.Errorf("write the definition of ExternalSecrets: %w", err)
	}
	path, err := process.Binary("sealbridge-controller")
	return subject{name: name, other: true, path: path, crds: crds, args: ourArgs}, err
}

func ourArgs(w *world, metrics, pprof int) []string {
	controllers := []string{"--controllers", "externalsecret,secretstore"}
	if w.sealed != nil {
		controllers = sealedArgs(w)
	}
	return append(controllers,
		"--kubeconfig", w.kubeconfig, "--namespace", keyNamespace,
		"--metrics-bind-address", loopback(metrics), "--health-probe-bind-address", "0", "--pprof-bind-address", loopback(pprof))
}

func esoSubject(name string, set settings, tuned []string) (subject, error) {
	for _, file := range []string{set.eso, set.esoCRDs} {
		if _, err := os.Stat(file); err != nil {
			return subject{}, fmt.Errorf("measure %s: %w; docs/performance.md says how to build it", name, err)
		}
	}
	path, err := filepath.Abs(set.eso)
	if err != nil {
		return subject{}, fmt.Errorf("find %s: %w", set.eso, err)
	}
	return subject{name: name, other: true, path: path, crds: set.esoCRDs, args: func(_ *world, metrics, pprof int) []string {
		return append([]string{"--metrics-addr=" + loopback(metrics), "--live-addr=" + loopback(pprof)}, tuned...)
	}}, nil
}

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
