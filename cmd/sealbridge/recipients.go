package main

import (
	"context"
	"fmt"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// sealsNative says whether values are sealed in the native format, which has to be asked for.
func (f *clusterFlags) sealsNative() bool { return f.native || len(f.recipients) > 0 }

// nativeRecipients are all whom --native and --recipients name.
func (c *connection) nativeRecipients(ctx context.Context) (seal.Recipient, error) {
	if c.at.cert != "" {
		return nil, usage("--cert seals in the format of Sealed Secrets, --native and --recipients in the native one",
			"--cert and --recipients exclude each other")
	}
	var all []*agebox.Recipient
	if c.at.native {
		reached, err := c.cluster()
		if err != nil {
			return nil, err
		}
		text, err := reached.recipients(ctx, c.at.overrides.Context.Namespace)
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
	if !r.flags.native {
		return r.certificate(ctx)
	}
	reached, err := r.cluster()
	if err != nil {
		return nil, err
	}
	text, err := reached.recipients(ctx, r.at.overrides.Context.Namespace)
	if err != nil {
		return nil, err
	}
	_, err = parseRecipients("the controller's recipients", text)
	return text, err
}
