package sealing_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

const fileOfMany = "\ufeff# top\nkind: ConfigMap\nmetadata:   {name: x}\n--- # first\n" +
	"apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: a, namespace: ns}\nspec:\n    encryptedData:\n        k: old # why\n---\n" +
	"apiVersion: v1\nkind: List\nitems:\n-   apiVersion: v1\n    kind: ConfigMap\n-   apiVersion: bitnami.com/v1alpha1\n    kind: SealedSecret\n    metadata: {name: b}\n    spec: {encryptedData: {k: old}}\n" +
	"-   apiVersion: bitnami.com/v1alpha1\n    kind: SealedSecret\n    metadata: {name: c}\n    spec: {encryptedData: {k: old}}\n" +
	"---\n{\"apiVersion\":\"bitnami.com/v1alpha1\",\"kind\":\"SealedSecret\",\"metadata\":{\"name\":\"d\"},\"spec\":{\"encryptedData\":{\"k\":\"old\"}}}\n"

func TestEverySealedSecretOfAFileIsChangedInItsPlace(t *testing.T) {
	t.Parallel()
	for i, want := range []string{"        k: old # why", "{name: b}\n    spec: {encryptedData: {k: old}}", "{name: c}\n    spec: {encryptedData: {k: old}}", `{"k":"old"}`} {
		file, err := sealing.ReadFile([]byte(fileOfMany))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(file.Objects()); n != 4 {
			t.Fatalf("%d objects", n)
		}
		if file.Changed() {
			t.Error("changed before anything was")
		}
		file.Objects()[i].Set("k", "new")
		got, err := file.Text()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Replace(fileOfMany, want, strings.Replace(want, "old", "new", 1), 1), string(got)); diff != "" || !file.Changed() {
			t.Error(diff)
		}
	}
}

func TestAllChangesOfAFileAreMadeAtOnce(t *testing.T) {
	t.Parallel()
	file, err := sealing.ReadFile([]byte(fileOfMany))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range file.Objects() {
		o.Set("k", "new")
	}
	got, err := file.Text()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.ReplaceAll(fileOfMany, "old", "new"), string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestTheSealedSecretThatIsMeantIsChosen(t *testing.T) {
	t.Parallel()
	file, err := sealing.ReadFile([]byte(fileOfMany))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, namespace, want, problem string }{
		{"a", "", "ns/a", ""}, {"", "ns", "ns/a", ""}, {"c", "", "c", ""},
		{"", "", "", "the file has 4 SealedSecrets that fit"}, {"a", "other", "", "the file has no SealedSecret of this name and namespace"},
		{"b", "ns", "b", ""}, {"b", "other", "b", ""}, {"", "other", "", "the file has no SealedSecret of this name and namespace"},
	} {
		o, err := file.Choose(c.name, c.namespace)
		if c.problem != "" {
			wantProblem(t, err, c.problem)
		} else if err != nil || o.String() != c.want {
			t.Errorf("%+v: %v, %v", c, o, err)
		}
	}
	if got := file.Objects()[2].Line; got != 21 {
		t.Errorf("the third stands on line %d", got)
	}
}

func TestSealedSecretsOfOneNameAreToldApartByTheirNamespace(t *testing.T) {
	t.Parallel()
	const one = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: db}\n---\n" +
		"apiVersion: bitnami.com/v1alpha1\nkind: SealedSecretList\nitems:\n- metadata: {name: db, namespace: a}\n- metadata: {name: db, namespace: b}\n- metadata: {name: web, namespace: b}\n"
	const twice = "---\napiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: db, namespace: a}\n"
	const all = "db (line 1, in the namespace that it is applied to), a/db (line 8), b/db (line 9)"
	for _, c := range []struct{ text, name, namespace, want, hint string }{
		{one, "db", "a", "a/db", ""}, {one, "db", "b", "b/db", ""}, {one, "", "a", "a/db", ""},
		{one, "db", "c", "db", ""}, // whoever applies it to c means this one
		{one, "db", "", "", "choose one with --namespace: " + all},
		{one, "", "", "", "choose one with --name and --namespace: " + all + ", b/web (line 10)"},
		{one, "", "b", "", "choose one with --name and --namespace: b/db (line 9), b/web (line 10)"},
		{one, "web", "a", "", "it has: " + all + ", b/web (line 10)"},
		{one + twice, "db", "a", "", "no flag tells them apart, and only one of them can be in a cluster; remove the others: a/db (line 8), a/db (line 12)"},
	} {
		file, err := sealing.ReadFile([]byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		o, err := file.Choose(c.name, c.namespace)
		var fault *sealing.Error
		switch {
		case c.hint != "":
			if !errors.As(err, &fault) || fault.Hint != c.hint {
				t.Errorf("%q in %q: %v, hint %+v", c.name, c.namespace, o, fault)
			}
		case err != nil || o.String() != c.want:
			t.Errorf("%q in %q: %v, %v", c.name, c.namespace, o, err)
		}
	}
}

func TestASealedSecretThatCannotBeReadIsNotChanged(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nspec: {encryptedData: {k: 1}}\n": `document 1, line 1: spec.encryptedData["k"] is not a string`,
		"apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nspec: {encryptedData: [x]}\n":    "document 1, line 1: spec.encryptedData is not a map",
		"a: b\n---\nkind: [" + canary + "\n":                                                    "document 2, line 2: not valid YAML: did not find expected ',' or ']'",
	} {
		_, err := sealing.ReadFile([]byte(text))
		wantProblem(t, err, want)
	}
}

func TestWhatIsAddedToAFileHasItsLineEnds(t *testing.T) {
	t.Parallel()
	const one = "apiVersion: bitnami.com/v1alpha1\r\nkind: SealedSecret\r\nmetadata: {name: a, namespace: ns}\r\nspec:\r\n  encryptedData: {}"
	for name, text := range map[string]string{"a last line end": one + "\r\n", "none": one} {
		file, err := sealing.ReadFile([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		secrets, err := sealing.ReadSecrets(strings.NewReader("metadata: {name: b, namespace: ns}\ndata: {k: dg==}\n---\nmetadata: {name: c, namespace: ns}\ndata: {k: dg==}\n"))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range secrets {
			if err := file.Update(s, in(t, "", false), sealing.YAML); err != nil {
				t.Fatal(err)
			}
		}
		got, err := file.Text()
		if err != nil {
			t.Fatal(err)
		}
		added, whole := strings.CutPrefix(string(got), one+"\r\n---\r\n")
		if !whole || strings.Contains(strings.ReplaceAll(added, "\r\n", ""), "\n") || strings.Contains(added, "\r\n\r\n") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAKeyThatIsMissedWhereThereIsNoneHasACure(t *testing.T) {
	t.Parallel()
	file, err := sealing.ReadFile([]byte("apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: a, namespace: ns}\nspec: {encryptedData: {}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.Objects()[0].Open(nil, "ns", "k")
	var known *sealing.Error
	if !errors.As(err, &known) || known.Hint != "it has no key at all; sealbridge set adds one" {
		t.Errorf("%v, %+v", err, known)
	}
}

func TestAValueThatIsDamagedIsToBeSealedAnew(t *testing.T) {
	t.Parallel()
	file, err := sealing.ReadFile([]byte("apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: a, namespace: ns}\nspec: {encryptedData: {k: AgA, l: AgAA}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	opener := seal.NewOpener(sealing.PrivateKeys{}, "", 0)
	for _, key := range []string{"k", "l"} {
		_, err = file.Objects()[0].Open(func(scope seal.Scope, namespace, name, text string) ([]byte, error) {
			return opener.Open(t.Context(), scope, namespace, name, text)
		}, "ns", key)
		var known *sealing.Error
		if !errors.As(err, &known) || known.Hint != "seal the value anew: sealbridge set" {
			t.Errorf("%s: %v, %+v", key, err, known)
		}
	}
}
