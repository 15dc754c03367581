package sealedsecrets_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/crypto/keyring"
)

func TestTheSameObjectsComeToTheSameUnderSealedSecretsAndUs(t *testing.T) {
	t.Parallel()
	for _, s := range suites(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			run(t, s)
		})
	}
}

// patience is how long a side may take to come to rest.
const patience = time.Minute

// run runs a suite on both sides at once, and compares.
func run(t *testing.T, s suite) {
	seals := &sealer{namespace: s.name, keys: map[string]*keyring.Pair{}}
	if err := seals.expandAll(&s); err != nil {
		t.Fatal(err)
	}
	var records []*record
	var group sync.WaitGroup
	for _, side := range sides(t) {
		r := &record{controller: controllerOf(t, side, s.namespaces(), s.Flags)}
		t.Cleanup(r.stop)
		records = append(records, r)
		group.Go(func() { r.err = r.run(t.Context(), s, seals) })
	}
	group.Wait()
	for _, r := range records {
		if r.err != nil {
			t.Fatalf("%s: %v", r.name, r.err)
		}
	}
	original, ours := records[0], records[1]
	for _, c := range s.Cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Log(c.Case)
			for i, st := range c.Steps {
				a, b := original.views[c.Name][i], ours.views[c.Name][i]
				t.Logf("after step %d under the original\n\t%s", i+1, strings.Join(a, "\n\t"))
				if err := check(a, b, st.Differs); err != nil {
					t.Errorf("after step %d %v", i+1, err)
				}
			}
			if err := check(original.events[c.Name], ours.events[c.Name], c.Events); err != nil {
				t.Errorf("in the events %v", err)
			}
		})
	}
	if err := check(original.all, ours.all, s.All); err != nil {
		t.Errorf("in all %v", err)
	}
}

// expandAll makes all keys that the cases name, in their order, and expands their objects.
func (s *sealer) expandAll(in *suite) error {
	if _, err := s.key(firstKey); err != nil {
		return err
	}
	for _, c := range in.Cases {
		for i := range c.Steps {
			for _, name := range slices.Sorted(keysOf(c.Steps[i].Keys)) {
				if _, err := s.key(name); err != nil {
					return err
				}
			}
			for _, content := range []*map[string]any{&c.Steps[i].Sealed, &c.Steps[i].Secret} {
				if *content == nil {
					continue
				}
				expanded, err := s.expand(*content, c.Namespace, c.Name)
				if err != nil {
					return fmt.Errorf("case %s: %w", c.Name, err)
				}
				*content, _ = expanded.(map[string]any)
			}
		}
	}
	return nil
}

func keysOf(m map[string]string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}

// record is what a suite came to on one side.
type record struct {
	controller *controller
	name       string
	// views are those after each step, and events those of all steps, by case.
	views  map[string][][]string
	events map[string][]string
	all    []string
	lives  lives
	err    error
}

func (r *record) stop() { r.controller.stop() }

// run takes all steps.
func (r *record) run(ctx context.Context, s suite, seals *sealer) error {
	c := r.controller
	r.name, r.views, r.lives = c.name, map[string][][]string{}, lives{}
	if err := c.setKey(ctx, seals, firstKey, "active"); err != nil {
		return err
	}
	if err := c.start(ctx); err != nil {
		return err
	}
	steps := 0
	for _, one := range s.Cases {
		steps = max(steps, len(one.Steps))
	}
	for i := range steps {
		if err := r.step(ctx, s, seals, i); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	var err error
	if r.events, err = c.allEvents(ctx, s.namespaces()); err != nil {
		return err
	}
	if r.all, err = c.viewAll(ctx); err != nil {
		return err
	}
	made, err := c.viewKeys(ctx, seals)
	r.all = append(r.all, made...)
	return err
}

// step has each case take its step, waits until all is at rest, and notes what is to be seen.
func (r *record) step(ctx context.Context, s suite, seals *sealer, i int) error {
	restart := slices.ContainsFunc(s.Cases, func(one scenario) bool { return i < len(one.Steps) && one.Steps[i].Restart })
	if restart {
		r.controller.stop()
	}
	refusals := map[string]string{}
	for _, one := range s.Cases {
		if i >= len(one.Steps) {
			continue
		}
		refusal, err := r.controller.in(one.Namespace).act(ctx, seals, one.Name, one.Steps[i])
		if err != nil {
			return fmt.Errorf("case %s: %w", one.Name, err)
		}
		refusals[one.Name] = refusal
	}
	if restart {
		if err := r.controller.start(ctx); err != nil {
			return err
		}
	}
	worlds, err := r.rest(ctx, s, seals, i)
	if err != nil {
		return err
	}
	sealingKey, err := r.controller.ask(ctx, seals, "GET /v1/cert.pem", "")
	if err != nil {
		return err
	}
	for _, one := range s.Cases {
		if i >= len(one.Steps) {
			continue
		}
		view := worlds[one.Namespace].view(one.Name, r.lives)
		if refusals[one.Name] != "" {
			view = append(view, "refused: "+refusals[one.Name])
		}
		if len(one.Steps[i].Keys) > 0 || one.Steps[i].Restart || one.Steps[i].Signal {
			view = append(view, sealingKey...)
		}
		slices.Sort(view)
		r.views[one.Name] = append(r.views[one.Name], view)
	}
	return nil
}

// rest waits until all namespaces have come to rest, and returns them.
func (r *record) rest(ctx context.Context, s suite, seals *sealer, round int) (map[string]world, error) {
	worlds := map[string]world{}
	for _, namespace := range s.namespaces() {
		look := r.controller.in(namespace).look
		if s.serves(namespace) {
			look = func(ctx context.Context) (world, error) { return r.controller.in(namespace).rest(ctx, seals, round) }
		}
		w, err := look(ctx)
		if err != nil {
			return nil, err
		}
		worlds[namespace] = w
	}
	return worlds, nil
}

// bell is the name of a SealedSecret, and its Secret, by which it is known that a controller has seen what happened before. It has a
// label for suites that select by it.
const bell = "bell"

// rest waits until the controller has seen what happened, and has nothing more to do about it.
func (c *controller) rest(ctx context.Context, seals *sealer, round int) (world, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.ring(ctx, seals, round); err != nil {
		return world{}, err
	}
	const quiet = 600 * time.Millisecond // five retries of the original take 155 ms
	began := time.Now()
	before, err := c.look(ctx)
	for since := began; err == nil && (time.Since(since) < quiet || before.orphans() || c.reports() && (before.unseen() || before.untold() && time.Since(began) < patience/2)); {
		if err = pause(ctx); err != nil {
			break
		}
		var now world
		if now, err = c.look(ctx); now.version != before.version {
			since = time.Now()
		}
		before = now
	}
	return before, err
}

// ring changes the bell and waits until its Secret follows.
func (c *controller) ring(ctx context.Context, seals *sealer, round int) error {
	served := map[string]any{"served": "yes"}
	sealed, err := seals.seal(fmt.Sprint(round), c.namespace, bell)
	if err != nil {
		return err
	}
	content := map[string]any{
		"metadata": map[string]any{"labels": served},
		"spec": map[string]any{
			"encryptedData": map[string]any{"round": sealed},
			"template":      map[string]any{"metadata": map[string]any{"labels": served}},
		},
	}
	if refusal, err := c.apply(ctx, "sealed", bell, content); err != nil || refusal != "" {
		return fmt.Errorf("ring: %s: %w", refusal, err)
	}
	for {
		var secret corev1.Secret
		err := c.client.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: bell}, &secret)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("wait for round %d: %w", round, err)
		}
		if string(secret.Data["round"]) == fmt.Sprint(round) {
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// allEvents waits until no more events are written: ours come late when there are many at once.
func (c *controller) allEvents(ctx context.Context, namespaces []string) (map[string][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	const quiet = 1500 * time.Millisecond
	before, err := c.viewEvents(ctx, namespaces)
	for since := time.Now(); err == nil && time.Since(since) < quiet; {
		if err = pause(ctx); err != nil {
			break
		}
		var now map[string][]string
		if now, err = c.viewEvents(ctx, namespaces); !reflect.DeepEqual(now, before) {
			before, since = now, time.Now()
		}
	}
	return before, err
}

// pause waits a moment.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(50 * time.Millisecond):
		return nil
	}
}
