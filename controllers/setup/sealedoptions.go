package setup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/controllers/sealedsecret"
	"github.com/sealbridge/sealbridge/controllers/sealhttp"
)

// SealedOptions are the settings of the SealedSecret controller and its HTTP server. Their flags have the names of Sealed
// Secrets 0.40, and its defaults unless docs/compatibility.md says otherwise.
type SealedOptions struct {
	// AllNamespaces serves every namespace; without it, and with AdditionalNamespaces, the controller's own and those.
	AllNamespaces        bool
	AdditionalNamespaces []string
	// LabelSelector chooses the SealedSecrets that are served; empty for all.
	LabelSelector string
	// UpdateStatus writes the status of SealedSecrets.
	UpdateStatus bool
	// SkipRecreate leaves Secrets as they are until their SealedSecret changes, and watches none.
	SkipRecreate bool
	// AcceptDeprecated opens spec.data.
	AcceptDeprecated bool
	// OmitNames keeps the names of SealedSecrets out of the metrics.
	OmitNames bool
	// Rate and Burst bound the requests to verify and to rotate, in requests a second and those that may come at once beyond it.
	Rate, Burst int
	// ReadTimeout and WriteTimeout bound the requests and answers of the HTTP server.
	ReadTimeout, WriteTimeout time.Duration
	// InfoToStdout has what is no error logged to the standard output; whoever makes the logger reads it.
	InfoToStdout bool

	// MaxRetries is how often in a row an object is retried before it rests; less than 0 for no such bound.
	MaxRetries int

	// What Sealed Secrets can be told and what is always so here.
	oldGC, watchKeys bool
}

// AddFlags binds the options to flags.
func (o *SealedOptions) AddFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&o.AllNamespaces, "all-namespaces", true, "serve the SealedSecrets of every namespace; without it those of the controller's own")
	fs.StringSliceVar(&o.AdditionalNamespaces, "additional-namespaces", nil, "serve the SealedSecrets of the controller's own namespace and of these, and no others")
	fs.StringVar(&o.LabelSelector, "label-selector", "", "serve the SealedSecrets with these labels")
	fs.BoolVar(&o.UpdateStatus, "update-status", true, "write the status of SealedSecrets; without it a restart opens all of them again")
	fs.BoolVar(&o.SkipRecreate, "skip-recreate", false, "leave Secrets that were changed or deleted as they are until their SealedSecret changes")
	fs.BoolVar(&o.AcceptDeprecated, "accept-deprecated-v1-data", true, "open spec.data, the deprecated format of SealedSecrets")
	fs.BoolVar(&o.OmitNames, "metrics-omit-secret-labels", false, "keep the names of SealedSecrets out of the metrics")
	fs.IntVar(&o.Rate, "rate-limit", sealhttp.DefaultRate, "how many requests a second each of /v1/verify and /v1/rotate answers, for all senders together")
	fs.IntVar(&o.Burst, "rate-limit-burst", sealhttp.DefaultRate, "how many more such requests may come at once")
	fs.DurationVar(&o.ReadTimeout, "read-timeout", sealhttp.DefaultTimeout, "how long a request to the server of the sealing certificate may take to arrive")
	fs.DurationVar(&o.WriteTimeout, "write-timeout", sealhttp.DefaultTimeout, "how long its answer may take to leave")
	fs.BoolVar(&o.oldGC, "old-gc-behavior", false, "accepted for Sealed Secrets: Kubernetes collects the Secrets of SealedSecrets that are gone")
	fs.BoolVar(&o.watchKeys, "watch-for-secrets", true, "accepted for Sealed Secrets: key Secrets are always watched")
	fs.BoolVar(&o.InfoToStdout, "log-info-stdout", false, "write what is no error to the standard output; all goes to the standard error without it")
	fs.IntVar(&o.MaxRetries, "max-unseal-retries", -1, "how often in a row a SealedSecret is retried with growing pauses before it rests for 5 minutes, the longest of them, each time; -1 for no such bound. What no retry can mend is not retried")
}

// check says which flag cannot be meant.
func (o *SealedOptions) check() error {
	if _, err := labels.Parse(o.LabelSelector); err != nil {
		return fmt.Errorf("--label-selector: %q selects no labels; use app=web,tier!=test", o.LabelSelector)
	}
	for _, namespace := range o.namespaces("") {
		if namespace != "" && len(validation.IsDNS1123Label(namespace)) > 0 {
			return fmt.Errorf("--additional-namespaces: %q is no name of a namespace", namespace)
		}
	}
	switch {
	case o.Rate <= 0:
		return errors.New("--rate-limit: use a number over 0")
	case o.Burst < 0:
		return errors.New("--rate-limit-burst: use a number over 0, or 0 for no more than --rate-limit")
	case o.ReadTimeout <= 0:
		return errors.New("--read-timeout: use a time over 0")
	case o.WriteTimeout <= 0:
		return errors.New("--write-timeout: use a time over 0")
	}
	return nil
}

// notes say of each flag that was given and changes nothing what happens instead.
func (o *SealedOptions) notes() []string {
	var out []string
	if o.oldGC {
		out = append(out, "--old-gc-behavior changes nothing: Kubernetes deletes the Secrets that a deleted SealedSecret owns, and no others")
	}
	if !o.watchKeys {
		out = append(out, "--watch-for-secrets=false changes nothing: key Secrets are always watched")
	}
	return out
}

// maxRetries returns the bound of retries, nil for none.
func (o *SealedOptions) maxRetries() *int {
	if o.MaxRetries < 0 {
		return nil
	}
	return &o.MaxRetries
}

// namespaces returns the namespaces whose SealedSecrets are served, in order; none for all. own is the controller's.
func (o *SealedOptions) namespaces(own string) []string {
	if o.AllNamespaces && len(o.AdditionalNamespaces) == 0 {
		return nil
	}
	out := []string{own}
	for _, namespace := range o.AdditionalNamespaces {
		if namespace = strings.TrimSpace(namespace); namespace != "" {
			out = append(out, namespace)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// cached says which SealedSecrets the manager's cache holds, in some namespaces or, with none named, in those of the cache, and hands
// over the rest of them.
func (o *SealedOptions) cached(namespaces []string, handover *sealedsecret.Handover) (cache.ByObject, error) {
	selector, err := labels.Parse(o.LabelSelector)
	if err != nil {
		return cache.ByObject{}, fmt.Errorf("--label-selector: %w", err)
	}
	if handover != nil {
		handover.Selector = selector
	}
	return cache.ByObject{Label: selector, Transform: handover.Cached, Namespaces: only(namespaces)}, nil
}

// noStatus writes no status.
type noStatus struct{}

// WriteStatus implements flow.StatusWriter.
func (noStatus) WriteStatus(context.Context, client.Object) error { return nil }
