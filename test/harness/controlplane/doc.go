// Package controlplane runs a real Kubernetes control plane on loopback: etcd, kube-apiserver with RBAC, and
// kube-controller-manager with its garbage collector, all from bin/controlplane. There are no nodes: pods stay pending.
//
// Tests call New, which starts one control plane for the test binary the first time it is asked, and pass their
// TestMain through Run so that it ends with them; they isolate by Namespace. Commands such as the demo call Start and
// Stop. Out come rest.Configs for the administrator, for users and for service accounts, a kubeconfig file, and the API
// server's own counters. Nothing outlives the process that started it (package process).
package controlplane
