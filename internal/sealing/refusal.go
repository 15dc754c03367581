package sealing

import (
	"bytes"
	"slices"
)

// Refusal is why the controller does not judge a SealedSecret, does not seal it anew, or has no key that it could be sealed to, in
// words that hold nothing of what it was sent. The command line shows an answer that is one of these and no other: whoever answers may
// be somebody else, and say anything.
type Refusal string

// The refusals. The last two ask to come again at once, and Undecryptable stands for ErrUndecryptable.
const (
	Undecryptable    Refusal = "the SealedSecret cannot be decrypted: no key of this cluster opens it under its namespace, name and scope"
	DeprecatedData   Refusal = "spec.data, the deprecated format, is not accepted here: seal again as spec.encryptedData"
	NotOne           Refusal = "the body is not one SealedSecret in JSON or YAML"
	BodyTooLarge     Refusal = "the body is over 10 MiB"
	BodyBroken       Refusal = "the body could not be read"
	NoKey            Refusal = "there is no sealing key yet"
	KeyOutOfReach    Refusal = "the sealing key could not be asked; try again later"
	TooManyValues    Refusal = "it took too long; send fewer values at a time"
	NoNativeKey      Refusal = "there is no sealing key of the native format"
	NoKeyOfNamespace Refusal = "the namespace has sealing keys of its own, and none of this format: make one for it, or let the common keys open there " +
		"(sealbridge.dev/common-keys: allow)"
	KeyNotKnown   Refusal = "whoever holds the sealing key has not said which it is; see the log of the controller"
	MixedRecovery Refusal = "the recovery recipients and the cluster's key cannot be mixed, because one of them is post-quantum and the other is not: " +
		"give --recovery-recipients of the same kind as the cluster's"
	TooManyRequests Refusal = "too many requests; try again in a second"
	Busy            Refusal = "busy; try again in a second"
)

// RefusalIn returns the refusal that an answer consists of, and "" for any other answer.
func RefusalIn(answer []byte) Refusal {
	said := Refusal(bytes.TrimSuffix(answer, []byte("\n")))
	known := []Refusal{
		Undecryptable, DeprecatedData, NotOne, BodyTooLarge, BodyBroken, NoKey, KeyOutOfReach, TooManyValues, NoNativeKey, NoKeyOfNamespace, KeyNotKnown,
		MixedRecovery, TooManyRequests, Busy,
	}
	if !slices.Contains(known, said) {
		return ""
	}
	return said
}
