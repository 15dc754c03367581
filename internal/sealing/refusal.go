package sealing

import (
	"bytes"
	"slices"
)

// Refusal is why the controller does not judge a SealedSecret, or does not seal it anew, in words that hold nothing of what it was
// sent. The command line shows an answer that is one of these and no other: whoever answers may be somebody else, and say anything.
type Refusal string

// The refusals. The last two ask to come again at once, and Undecryptable stands for ErrUndecryptable.
const (
	Undecryptable   Refusal = "the SealedSecret cannot be decrypted: no key of this cluster opens it under its namespace, name and scope"
	DeprecatedData  Refusal = "spec.data, the deprecated format, is not accepted here: seal again as spec.encryptedData"
	NotOne          Refusal = "the body is not one SealedSecret in JSON or YAML"
	BodyTooLarge    Refusal = "the body is over 10 MiB"
	BodyBroken      Refusal = "the body could not be read"
	NoKey           Refusal = "there is no sealing key yet"
	KeyOutOfReach   Refusal = "the sealing key could not be asked; try again later"
	TooManyValues   Refusal = "it took too long; send fewer values at a time"
	TooManyRequests Refusal = "too many requests; try again in a second"
	Busy            Refusal = "busy; try again in a second"
)

// RefusalIn returns the refusal that an answer consists of, and "" for any other answer.
func RefusalIn(answer []byte) Refusal {
	said := Refusal(bytes.TrimSuffix(answer, []byte("\n")))
	known := []Refusal{
		Undecryptable, DeprecatedData, NotOne, BodyTooLarge, BodyBroken, NoKey, KeyOutOfReach, TooManyValues, TooManyRequests, Busy,
	}
	if !slices.Contains(known, said) {
		return ""
	}
	return said
}
