package externalsecret

import (
	"testing"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/sessions"
)

// TestAnEmptyPathIsNotTheSameAsNone: in Vault, names that are found below an empty path begin with a slash, as in External Secrets
// Operator.
func TestAnEmptyPathIsNotTheSameAsNone(t *testing.T) {
	t.Parallel()
	none, err := queryOf(&esv1.Find{})
	if err != nil || none.Path != nil {
		t.Errorf("without a path: %v, %v", none.Path, err)
	}
	empty, err := queryOf(&esv1.Find{Path: new("")})
	if err != nil || empty.Path == nil || *empty.Path != "" {
		t.Errorf("with an empty path: %v, %v", empty.Path, err)
	}
	if sessions.Canonical(none) == sessions.Canonical(empty) {
		t.Error("one search serves both")
	}
}
