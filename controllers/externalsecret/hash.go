package externalsecret

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// The hashes of External Secrets Operator (2.9, runtime/esutils ObjectHash and pkg/controllers/util): the SHA3-224 of
// what fmt prints for an object with %+v, in hex. Ours are the same, so that taking over a cluster rewrites nothing; only what
// targets show of their data is made from the hash with a key, and the operator's is still recognized.

// dataHash is the hash of a Secret's data. It prints the map itself, because fmt allocates for every byte.
func dataHash(data map[string][]byte) string {
	h := sha3.New224()
	buf := append(make([]byte, 0, 4096), "map["...)
	for i, key := range slices.Sorted(maps.Keys(data)) {
		if i > 0 {
			buf = append(buf, ' ')
		}
		buf = append(append(buf, key...), ":["...)
		for j, b := range data[key] {
			if j > 0 {
				buf = append(buf, ' ')
			}
			if buf = strconv.AppendUint(buf, uint64(b), 10); len(buf) > 4000 {
				_, _ = h.Write(buf)
				buf = buf[:0]
			}
		}
		buf = append(buf, ']')
	}
	_, _ = h.Write(append(buf, ']'))
	return hex.EncodeToString(h.Sum(nil))
}

// keyedHash is what a target says in the annotation data-hash: a hash of the data, given by their dataHash, that nobody makes
// without the key, and that is another one on each Secret. External Secrets Operator writes the dataHash itself, with which
// whoever may read the metadata of a Secret can test guesses of its data; what it wrote is believed until the data change.
func keyedHash(key []byte, es *esv1.ExternalSecret, hash string) string {
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "data-hash %s/%s %s", es.Namespace, targetName(es), hash) // never fails
	return hex.EncodeToString(mac.Sum(nil))
}

// versionOf identifies the spec, labels and annotations of an object: the value of status.syncedResourceVersion.
func versionOf(obj metav1.Object) string {
	printed := fmt.Sprintf("%+v", struct{ annotations, labels map[string]string }{obj.GetAnnotations(), obj.GetLabels()})
	return fmt.Sprintf("%d-%s", obj.GetGeneration(), hashText(printed))
}

// createdBy is the value of the label that a Secret of creationPolicy Owner carries.
func createdBy(es *esv1.ExternalSecret) string { return hashText(es.Namespace + "/" + es.Name) }

// fieldOwner is the field manager under which the Secrets of an ExternalSecret are written.
func fieldOwner(name string) string {
	const longest = 63
	if owner := esv1.FieldOwnerPrefix + name; len(owner) <= longest {
		return owner
	}
	return esv1.FieldOwnerPrefix + "sha3/" + hashText(name)
}

func hashText(s string) string {
	sum := sha3.Sum224([]byte(s))
	return hex.EncodeToString(sum[:])
}
