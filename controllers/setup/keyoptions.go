package setup

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sealbridge/sealbridge/controllers/sealingkey"
	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/rsahybrid"
)

// KeyOptions are the settings of the sealing keys. Their flags have the names and defaults of Sealed Secrets 0.40.
type KeyOptions struct {
	// Prefix begins the names of key Secrets.
	Prefix string
	// Bits is the size of new keys.
	Bits int
	// Validity is how long the certificates of new keys are valid.
	Validity time.Duration
	// CommonName of the certificates of new keys; it may be empty.
	CommonName string
	// RenewPeriod is the age at which the newest key is followed by another; 0 for never.
	RenewPeriod time.Duration
	// Cutoff is the time before which no key that is sealed to may have been made; zero for any.
	Cutoff time.Time
	// Order says which key is the newest, as sealingkey.ParseOrder reads it.
	Order string
	// Native has keys of the native format made and renewed, too.
	Native bool
	// RecoveryRecipients is the path of a file of age recipients that are named beside the cluster's own; empty for none.
	RecoveryRecipients string
	// Labels and Annotations of new key Secrets.
	Labels, Annotations map[string]string
}

// minBits is the smallest RSA key that crypto/rsa makes.
const minBits = 1024

// maxBits is the largest that values are sealed to.
const maxBits = 8 * rsahybrid.MaxWrapped

// AddFlags binds the options to flags.
func (o *KeyOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Prefix, "key-prefix", sealingkey.DefaultPrefix, "how the names of sealing key Secrets begin")
	fs.IntVar(&o.Bits, "key-size", keyring.DefaultBits, "size of new sealing keys in bits")
	fs.DurationVar(&o.Validity, "key-ttl", keyring.DefaultValidity, "how long the certificates of new sealing keys are valid")
	fs.StringVar(&o.CommonName, "my-cn", "", "common name in the certificates of new sealing keys")
	fs.DurationVar(&o.RenewPeriod, "key-renew-period", 30*24*time.Hour, "age at which the newest sealing key is followed by another; 0 for never; old keys stay")
	fs.DurationVar(&o.RenewPeriod, "rotate-period", 30*24*time.Hour, "the older name of --key-renew-period")
	_ = fs.MarkDeprecated("rotate-period", "please use key-renew-period instead") // the flag is there
	fs.TimeVar(&o.Cutoff, "key-cutoff-time", time.Time{}, []string{time.RFC1123Z},
		"make another sealing key when the newest is from before this time, in the form of RFC 1123: "+time.RFC1123Z)
	fs.StringVar(&o.Order, "key-order-priority", string(sealingkey.OrderCertNotBefore),
		"which sealing key is the newest, by "+string(sealingkey.OrderCertNotBefore)+" or "+string(sealingkey.OrderSecretCreationTimestamp))
	fs.BoolVar(&o.Native, "native-keys", true, "make, renew and use sealing keys of the native format (post-quantum age identities), too")
	fs.StringVar(&o.RecoveryRecipients, "recovery-recipients", "", "file of age recipients that /v1/recipients names beside the cluster's own, so that values in the native format open with offline keys, too")
	fs.StringToStringVar(&o.Labels, "privatekey-labels", nil, "labels of new sealing key Secrets: key=value,...")
	fs.StringToStringVar(&o.Annotations, "privatekey-annotations", nil, "annotations of new sealing key Secrets: key=value,...")
}

// check says which flag cannot be meant.
func (o *KeyOptions) check() error {
	if _, err := sealingkey.ParseOrder(o.Order); err != nil {
		return fmt.Errorf("--key-order-priority: %w", err)
	}
	switch {
	case o.Prefix == "" || len(validation.IsDNS1123Label(o.Prefix+"-0123456789abcdef")) > 0:
		return fmt.Errorf("--key-prefix: %q does not begin the name of a Secret; use up to 46 lower case letters, digits and -", o.Prefix)
	case o.Bits < minBits:
		return fmt.Errorf("--key-size: %d bits are too few; use %d or more", o.Bits, keyring.DefaultBits)
	case o.Bits > maxBits:
		return fmt.Errorf("--key-size: %d bits are too many; use %d", o.Bits, keyring.DefaultBits)
	case o.Validity <= 0:
		return errors.New("--key-ttl: use a time over 0")
	case o.RenewPeriod < 0:
		return errors.New("--key-renew-period: use a time over 0, or 0 for never")
	}
	if faults := metav1validation.ValidateLabels(o.Labels, field.NewPath("")); len(faults) > 0 {
		return errors.New("--privatekey-labels: a key or value is no label of Kubernetes; use key=value of up to 63 letters, digits, ., _ and -")
	}
	if faults := apivalidation.ValidateAnnotations(o.Annotations, field.NewPath("")); len(faults) > 0 {
		return errors.New("--privatekey-annotations: a key is no annotation of Kubernetes; use keys of up to 63 letters, digits, ., _ and -, such as example.com/team=a")
	}
	return nil
}

// recovery reads the recipients of the recovery keys.
func (o *KeyOptions) recovery() ([]*agebox.Recipient, error) {
	if o.RecoveryRecipients == "" {
		return nil, nil
	}
	text, err := os.ReadFile(o.RecoveryRecipients)
	if err != nil {
		return nil, fmt.Errorf("--recovery-recipients: %w; give a file with one post-quantum age recipient a line", err)
	}
	recipients, err := agebox.ParseRecipients(text)
	if err != nil {
		return nil, fmt.Errorf("--recovery-recipients: %s: %w", o.RecoveryRecipients, err)
	}
	return recipients, nil
}

// apply sets what the options say about keys.
func (o *KeyOptions) apply(deps *sealingkey.Deps) {
	deps.Prefix, deps.Order = o.Prefix, sealingkey.Order(o.Order)
	deps.Generate = keyring.Options{Bits: o.Bits, Validity: o.Validity, CommonName: o.CommonName}
	deps.Labels, deps.Annotations = o.Labels, o.Annotations
	deps.Renewal = sealingkey.Renewal{Period: o.RenewPeriod, Cutoff: o.Cutoff}
	deps.Native = o.Native
}
