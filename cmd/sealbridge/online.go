package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// online has the controller seal anew.
type online struct {
	cluster *cluster
	proxy   string
	options sealing.Options                                // where objects are that name no namespace
	to      func(namespace string) (seal.Recipient, error) // the newest key of the compat format
	native  map[string]*agebox.Recipient                   // the newest of the native one by namespace; nil where the controller names none
	memory  *memory
	force   bool
}

func (n *online) done() error { return n.memory.save() }

func (n *online) reseal(ctx context.Context, o *sealing.Object) (outcome, error) {
	namespace, err := o.Place(n.options)
	if err != nil {
		return outcome{}, &objectError{err}
	}
	to, err := n.target(ctx, o, namespace)
	if err != nil {
		return outcome{}, err
	}
	all := sealedValues(o)
	out := outcome{from: "unknown", to: to.of(all)}
	current := func(text string) bool { return !n.force && to.current(n.memory, text) }
	for _, text := range all {
		if current(text) {
			out.kept++
		}
	}
	if out.kept == len(all) {
		return out, nil
	}
	body, err := o.JSON(namespace)
	if err != nil {
		return out, err
	}
	r := request{path: n.proxy + "/v1/rotate", body: body}
	if !n.force {
		r.query = url.Values{"keep": {"current"}} // which the controller of Sealed Secrets does not look at
	}
	answer, err := n.cluster.ask(ctx, r)
	var refused *answerError
	switch {
	case errors.As(err, &refused) && (refused.code == http.StatusInternalServerError || refused.code == http.StatusConflict):
		if refused.said != "" && refused.said != sealing.Undecryptable {
			return outcome{}, &objectError{&sealing.Error{Problem: refused.Error(), Hint: whatToDo(refused, ""), Cause: refused}}
		}
		hint := sealAgain
		if namespace != o.Namespace {
			hint = fmt.Sprintf("it names no namespace, and was tried in %q: give the one that it is applied to with --namespace, or seal it again", namespace)
		}
		return outcome{}, &objectError{&sealing.Error{Problem: "the controller cannot open it under its namespace, name and scope", Hint: hint, Cause: refused}}
	case errors.As(err, &refused) && refused.code == http.StatusNotFound:
		return outcome{}, notServed("rotation", "give --recovery-private-key to do it here", err)
	case err != nil:
		return outcome{}, &sealing.Error{Problem: "cannot ask the controller: " + err.Error(), Hint: "run the command again: it goes on where it stopped", Cause: err}
	}
	renewal, err := o.Renew(answer, namespace, current)
	if err != nil {
		return outcome{}, &objectError{err}
	}
	out.changed, out.kept = renewal.Changed, len(all)-renewal.Changed
	for _, text := range renewal.Values {
		if !isNative(text) {
			n.memory.RememberTo(to.compat, text)
		}
	}
	return out, nil
}

// sealedValues are all of an object.
func sealedValues(o *sealing.Object) []string {
	var out []string
	for _, key := range o.Keys() {
		out = append(out, o.Values[key])
	}
	if o.Deprecated != "" {
		out = append(out, o.Deprecated)
	}
	return out
}

// target is whom the controller seals the values of an object to.
type target struct {
	compat string            // fingerprint
	native *agebox.Recipient // nil where it is not known, or where no value has that format
}

// target asks the controller for its newest keys of the formats that an object has.
func (n *online) target(ctx context.Context, o *sealing.Object, namespace string) (target, error) {
	compat, err := n.to(namespace)
	if err != nil {
		return target{}, err
	}
	to := target{compat: compat.Fingerprint()}
	if !slices.ContainsFunc(sealedValues(o), isNative) {
		return to, nil
	}
	known, asked := n.native[namespace]
	if !asked {
		text, err := n.cluster.recipients(ctx, namespace)
		var refused *answerError
		if err != nil && !errors.As(err, &refused) {
			return target{}, err
		}
		// Whoever names none is asked about each value. The cluster's own is named before those of a recovery.
		if found, err := agebox.ParseRecipients(text); err == nil {
			known = found[0]
		}
		n.native[namespace] = known
	}
	to.native = known
	return to, nil
}

func isNative(text string) bool {
	info, err := seal.Inspect(text)
	return err == nil && info.Format == seal.FormatNative
}

// of names for people the keys that these values are sealed to.
func (t target) of(values []string) string {
	native := "unknown"
	if t.native != nil {
		native = t.native.Fingerprint()
	}
	var names []string
	for _, text := range values {
		if isNative(text) {
			names = append(names, native)
		} else {
			names = append(names, t.compat)
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

// current says whether a value is known to be sealed to the newest key: one of the native format says so itself. It never
// becomes one of the other kind of keys.
func (t target) current(m *memory, text string) bool {
	if info, err := seal.Inspect(text); err == nil && info.Format == seal.FormatNative {
		return t.native != nil && t.native.Held() == info.Classic && slices.Contains(info.Keys, t.native.Fingerprint())
	}
	return m.IsTo(t.compat, text)
}
