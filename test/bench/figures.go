package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sealbridge/sealbridge/test/harness/countingstore"
)

// kubernetes begins the names of the figures that addCalls adds.
const kubernetes = "Kubernetes "

// addCalls adds the controller's requests to the API server by verb and resource.
func (r *Report) addCalls(calls []call) {
	sums := map[string]int{}
	for _, c := range calls {
		sums[c.kind()]++
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		r.Add(kubernetes+name, float64(sums[name]), "requests")
	}
}

// addStore adds the requests of the store besides reads of documents.
func (r *Report) addStore(requests []countingstore.Request) {
	sums := map[countingstore.Kind]int{}
	for _, req := range requests {
		if req.Kind != countingstore.Read {
			sums[req.Kind]++
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(sums)) {
		r.Add(fmt.Sprintf("store requests about the %s", kind), float64(sums[kind]), "requests")
	}
}

// writes returns how many of the calls change something, events and everything else apart.
func writes(calls []call) (objects, events int) {
	for _, c := range calls {
		switch {
		case !c.writes():
		case c.Ref.Resource == "events":
			events++
		default:
			objects++
		}
	}
	return objects, events
}

// reads returns how many of the requests of the store were for documents.
func reads(requests []countingstore.Request) int {
	n := 0
	for _, req := range requests {
		if req.Kind == countingstore.Read {
			n++
		}
	}
	return n
}

// singleGets returns how many objects of a resource were read one by one.
func singleGets(calls []call, resource string) int {
	n := 0
	for _, c := range calls {
		if c.Verb == "get" && c.Ref.Resource == resource {
			n++
		}
	}
	return n
}

const mib = 1 << 20
