package main

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// sealsNative says whether values are sealed in the native format, which has to be asked for.
func (f *clusterFlags) sealsNative() bool { return f.native || len(f.recipients) > 0 }

// recipients returns whom the values of each namespace are sealed to: those that the flags name, and those of the controller,
// which may have keys for a namespace alone. Values that name no namespace are sealed as those of --namespace. Each is asked
// for once, and what the flags name at once.
func (c *connection) recipients(ctx context.Context) (func(namespace string) (seal.Recipient, error), error) {
	if c.at.cert != "" && c.at.sealsNative() {
		native := "--recipients"
		if len(c.at.recipients) == 0 {
			native = "--native"
		}
		return nil, usage("--cert seals in the format of Sealed Secrets, --native and --recipients in the native one",
			"--cert and %s exclude each other", native)
	}
	if len(c.at.recipients) == 0 && c.at.given("recipients") { // a variable of a script that is not set would choose another format
		return nil, usage("name a file, or leave it out to seal in the format of Sealed Secrets", "--recipients is empty")
	}
	if !c.asksController() {
		to, err := c.recipient(ctx, nil, "")
		return func(string) (seal.Recipient, error) { return to, nil }, err
	}
	reached, err := c.cluster()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	known := map[string]func() (seal.Recipient, error){}
	return func(namespace string) (seal.Recipient, error) {
		namespace = cmp.Or(namespace, c.at.overrides.Context.Namespace)
		mu.Lock()
		ask := known[namespace]
		if ask == nil {
			ask = sync.OnceValues(func() (seal.Recipient, error) { return c.recipient(ctx, reached, namespace) })
			known[namespace] = ask
		}
		mu.Unlock()
		return ask()
	}, nil
}

// asksController says whether it is the controller that knows whom to seal to.
func (c *connection) asksController() bool {
	return c.at.native || c.at.cert == "" && !c.at.sealsNative()
}

// nativeRecipients are all whom --native and --recipients name.
func (c *connection) nativeRecipients(ctx context.Context, reached *cluster, namespace string) (seal.Recipient, error) {
	var all []*agebox.Recipient
	if c.at.native {
		text, err := reached.recipients(ctx, namespace)
		if err != nil {
			return nil, err
		}
		found, err := parseRecipients("the controller's recipients", text)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	for _, from := range c.at.recipients {
		text, err := read(ctx, "--recipients", from)
		if err != nil {
			return nil, err
		}
		found, err := parseRecipients("--recipients", text)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return seal.Native(all...), nil
}

func parseRecipients(what string, text []byte) ([]*agebox.Recipient, error) {
	found, err := agebox.ParseRecipients(text)
	if err != nil {
		return nil, &sealing.Error{
			Problem: fmt.Sprintf("cannot read %s: %s", what, err), Cause: err,
			Hint: "give one post-quantum age recipient a line, as GET /v1/recipients of the controller answers and age-keygen -pq prints",
		}
	}
	return found, nil
}

// fetched is what --fetch-cert writes: the certificate, or with --native the controller's recipient.
func (r *sealRun) fetched(ctx context.Context) ([]byte, error) {
	var reached *cluster
	if r.asksController() {
		var err error
		if reached, err = r.cluster(); err != nil {
			return nil, err
		}
	}
	if !r.flags.native {
		return r.certificate(ctx, reached, r.at.overrides.Context.Namespace)
	}
	text, err := reached.recipients(ctx, r.at.overrides.Context.Namespace)
	if err != nil {
		return nil, err
	}
	_, err = parseRecipients("the controller's recipients", text)
	return text, err
}
