package sessions

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/watches"
)

// credentials are the Secrets and ConfigMaps that the sessions of one identity are opened with. They are followed from
// the first attempt on, also when it failed: what was missing or wrong may come.
type credentials struct {
	store Store
	// used is when a session was asked for last, and replaced when a credential was seen to change.
	used, replaced time.Time
}

// Replaced names a store of which a credential or CA bundle changed, appeared or is gone.
type Replaced struct {
	// Kind, Namespace and Name of the store; Namespace is empty for a ClusterSecretStore.
	Kind, Namespace, Name string
	// Users is the namespace whose objects are concerned; empty for all that use the store.
	Users string
}

// OnReplaced makes the pool call listen, which returns soon, each time when a credential of a store was replaced. The next
// request opens a new session.
func (p *Pool) OnReplaced(listen func(Replaced)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listeners = append(p.listeners, listen)
}

// ReplacedAt returns when a credential of the store, or one that it takes from the namespace, was last replaced; zero when
// this process saw nothing like that.
func (p *Pool) ReplacedAt(store client.Object, namespace string) time.Time {
	kind, _, _ := Parts(store)
	id := identity{cluster: kind == esv1.KindClusterSecretStore, uid: store.GetUID(), generation: store.GetGeneration()}
	p.mu.Lock()
	defer p.mu.Unlock()
	var at time.Time
	for _, referent := range []string{"", namespace} {
		if c := p.credentials[key{id, referent}]; c != nil && c.replaced.After(at) {
			at = c.replaced
		}
	}
	return at
}

// Expect says what an earlier process has opened a store's session with. Until a session is opened, the pool follows these
// objects, and takes one that is newer for replaced.
func (p *Pool) Expect(s Store, lent map[watches.Object]watches.Version) {
	k := key{identity: s.identity()}
	p.mu.Lock()
	known := p.watcher == nil || p.shut || p.credentials[k] != nil
	if !known {
		p.credentials[k] = &credentials{store: s, used: time.Now()}
	}
	p.mu.Unlock()
	if known {
		return
	}
	for o, v := range lent {
		p.followFor(k, o, v)
	}
}

// followFor follows an object for as long as the credentials that it is one of are known. The caller does not hold p.mu, which whoever
// is told at once takes.
func (p *Pool) followFor(k key, o watches.Object, v watches.Version) {
	p.followers.Add(k, o, v)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.credentials[k] == nil { // they are forgotten, and what they followed was before that
		p.followers.Forget(k)
	}
}

// lendTo makes the watcher look at what the entry is opened with. The caller holds p.mu.
func (p *Pool) lendTo(e *entry) {
	if p.watcher == nil {
		return
	}
	k := e.key
	if p.credentials[k] == nil {
		p.credentials[k] = &credentials{store: e.store}
	}
	e.env.watcher = p.watcher
	e.env.follow = func(o watches.Object, v watches.Version) { p.followFor(k, o, v) }
}

// replaced retires the session that was opened with a credential that is not the current one any more, and tells those
// who use it.
func (p *Pool) replaced(k key) {
	p.mu.Lock()
	c := p.credentials[k]
	if c == nil {
		p.mu.Unlock()
		return
	}
	c.replaced = time.Now()
	if e := p.entries[k]; e != nil && e.opening.ended() && e.env.outdated() {
		p.retireLocked(e)
	}
	what := Replaced{Kind: esv1.KindSecretStore, Namespace: c.store.Namespace, Name: c.store.Name, Users: c.store.Namespace}
	if c.store.cluster() {
		what.Kind, what.Users = esv1.KindClusterSecretStore, k.referent
	}
	listeners := p.listeners
	p.mu.Unlock()
	for _, listen := range listeners {
		listen(what)
	}
}

// forgetCredentials ends the watches of credentials that nobody needs any more. The caller holds p.mu.
func (p *Pool) forgetCredentials(unneeded func(key, *credentials) bool) {
	for k, c := range p.credentials {
		if unneeded(k, c) {
			delete(p.credentials, k)
			p.followers.Forget(k)
		}
	}
}
