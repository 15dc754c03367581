package externalsecret_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	ssv1 "github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/internal/template"
)

func (w *world) configMap(name string, data map[string]string) *corev1.ConfigMap {
	w.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Data: data}
	w.create(cm)
	return cm
}

// from returns a change that makes the target of templates elsewhere.
func from(parts ...esv1.TemplateFrom) func(*esv1.ExternalSecret) {
	return func(es *esv1.ExternalSecret) { es.Spec.Target.Template = &esv1.Template{TemplateFrom: parts} }
}

func inConfigMap(name string, items ...esv1.TemplateRefItem) esv1.TemplateFrom {
	return esv1.TemplateFrom{ConfigMap: &esv1.TemplateRef{Name: name, Items: items}}
}

func inSecret(name string, items ...esv1.TemplateRefItem) esv1.TemplateFrom {
	return esv1.TemplateFrom{Secret: &esv1.TemplateRef{Name: name, Items: items}}
}

func TestTemplatesComeFromConfigMapsAndSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	w.configMap("shapes", map[string]string{
		"dsn":     "pg://app:{{ .password }}@db",
		"several": "one: {{ .password }}-1\ntwo: {{ .password }}-2\n",
		"encoded": "decoded: {{ .password | b64enc }}",
		"labels":  "team: a\nlong: {{ .password | len }}",
		"note":    "written for {{ len .password }}",
	})
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "shape"}, Data: map[string][]byte{
		"two": []byte("{{ .password }}-from-the-secret"), "salted": []byte("salt-" + canary + "-{{ .password }}"),
	}})
	values, keys := esv1.TemplateValues, esv1.TemplateKeysAndValues
	encoded := inConfigMap("shapes", esv1.TemplateRefItem{Key: "encoded", TemplateAs: keys})
	encoded.ValuesDecodingStrategy = esv1.DecodingBase64
	labels := inConfigMap("shapes", esv1.TemplateRefItem{Key: "labels", TemplateAs: keys})
	labels.Target = "labels"
	note := inConfigMap("shapes", esv1.TemplateRefItem{Key: "note"})
	note.Target = esv1.TemplateTargetAnnotations
	both := inConfigMap("shapes", esv1.TemplateRefItem{Key: "dsn"}, esv1.TemplateRefItem{Key: "several", TemplateAs: keys})
	both.Secret = &esv1.TemplateRef{Name: "shape", Items: []esv1.TemplateRefItem{{Key: "two", TemplateAs: values}, {Key: "salted"}}}
	both.Literal = ptr.To("salted: the literal is last")
	w.create(w.externalSecret("db", from(both, encoded, labels, note), func(es *esv1.ExternalSecret) {
		es.Spec.Target.Template.MergePolicy = esv1.TemplateMerge
		es.Spec.Target.Template.Data = map[string]string{"dsn": "data wins"}
	}))
	w.ready("db")
	secret := w.holds("db", map[string]string{
		"dsn": "data wins", "one": canary + "-1", "two": canary + "-from-the-secret", "salted": "the literal is last",
		"decoded": canary, "password": canary,
	})
	if secret.Labels["team"] != "a" || secret.Labels["long"] != "13" || secret.Annotations["note"] != "written for 13" {
		t.Errorf("labels %v, annotations %v", secret.Labels, secret.Annotations)
	}
}

func TestATemplateThatCannotBeReadIsNamedWithTheCureAndChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	cm := w.configMap("shapes", map[string]string{"broken": "{{ .password", "text": "{{ .password }}", "labels": ssv1.LabelSealingKey + ": active", "native": ssv1.LabelNativeKey + ": active"})
	change(w, cm, func(cm *corev1.ConfigMap) { cm.BinaryData = map[string][]byte{"binary": {0xff}} })
	w.create(
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "broken"}, Data: map[string][]byte{"t": []byte(canary + "{{ nope }}"), "y": []byte(canary + ": [")}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "token", Annotations: map[string]string{corev1.ServiceAccountNameKey: "default"}},
			Type: corev1.SecretTypeServiceAccountToken},
	)
	labels := inConfigMap("shapes", esv1.TemplateRefItem{Key: "labels", TemplateAs: esv1.TemplateKeysAndValues})
	labels.Target = esv1.TemplateTargetLabels
	native := inConfigMap("shapes", esv1.TemplateRefItem{Key: "native", TemplateAs: esv1.TemplateKeysAndValues})
	native.Target = esv1.TemplateTargetLabels
	encoded := inConfigMap("shapes", esv1.TemplateRefItem{Key: "text"})
	encoded.ValuesDecodingStrategy = esv1.DecodingBase64
	for name, tt := range map[string]struct {
		from esv1.TemplateFrom
		says string
	}{
		"no-config-map": {inConfigMap("nowhere", esv1.TemplateRefItem{Key: "a"}),
			"spec.target.template.templateFrom[0].configMap: ConfigMap " + w.ns + "/nowhere does not exist; create it, or correct the name"},
		"no-secret": {inSecret("nowhere", esv1.TemplateRefItem{Key: "a"}),
			"spec.target.template.templateFrom[0].secret: Secret " + w.ns + "/nowhere does not exist; create it, or correct the name"},
		// A Secret of another namespace has no name here.
		"elsewhere": {inSecret("kube-system-secret", esv1.TemplateRefItem{Key: "a"}), "Secret " + w.ns + "/kube-system-secret does not exist"},
		"no-key": {inConfigMap("shapes", esv1.TemplateRefItem{Key: "text"}, esv1.TemplateRefItem{Key: "other"}),
			"templateFrom[0].configMap.items[1]: ConfigMap " + w.ns + `/shapes has no key "other"; add it, or correct the key`},
		"no-key-in-secret": {inSecret("broken", esv1.TemplateRefItem{Key: "other"}), "Secret " + w.ns + `/broken has no key "other"; add it`},
		"binary":           {inConfigMap("shapes", esv1.TemplateRefItem{Key: "binary"}), `key "binary" in binaryData, which holds no templates; move it to data`},
		"a-token":          {inSecret("token", esv1.TemplateRefItem{Key: "token"}), "type kubernetes.io/service-account-token is refused"},
		"syntax":           {inConfigMap("shapes", esv1.TemplateRefItem{Key: "broken"}), "templateFrom[0] (ConfigMap shapes, key broken)\" at line 1: the syntax is wrong"},
		"function":         {inSecret("broken", esv1.TemplateRefItem{Key: "t"}), `(Secret broken, key t)" at line 1: function "nope" does not exist`},
		"no-map": {inSecret("broken", esv1.TemplateRefItem{Key: "y", TemplateAs: esv1.TemplateKeysAndValues}),
			"(Secret broken, key y) does not make a YAML map of strings"},
		"encoding":    {encoded, "(ConfigMap shapes, key text): a value is not encoded as valuesDecodingStrategy Base64 says"},
		"sealing-key": {labels, "label " + ssv1.LabelSealingKey + " is refused"},
		"native-key":  {native, "label " + ssv1.LabelNativeKey + " is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			es := w.externalSecret(name)
			w.create(es)
			w.ready(name)
			before := w.secret(name)
			change(w, es, from(tt.from))
			w.notReady(name, tt.says)
			if diff := cmp.Diff(before, w.secret(name)); diff != "" {
				t.Errorf("the target was changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestAStoreIsNotAskedForATemplateThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	w.create(w.externalSecret("db", from(inConfigMap("late", esv1.TemplateRefItem{Key: "dsn"}))))
	w.notReady("db", "ConfigMap "+w.ns+"/late does not exist")
	if fetches, _ := w.backend.calls(); fetches != 0 {
		t.Errorf("the store was asked %d times", fetches)
	}
	if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "db"}, &corev1.Secret{}); !apierrors.IsNotFound(err) {
		t.Errorf("Get: %v, want no target", err)
	}
	w.configMap("late", map[string]string{"dsn": "pg://{{ .password }}"})
	w.holds("db", map[string]string{"dsn": "pg://" + canary})
}

func TestTemplatesAreBoundedTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	var parts []esv1.TemplateFrom
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		w.configMap(name, map[string]string{"t": strings.Repeat("x", 900_000)})
		parts = append(parts, inConfigMap(name, esv1.TemplateRefItem{Key: "t"}))
	}
	w.create(w.externalSecret("db", from(parts...)))
	w.notReady("db", "spec.target.template.templateFrom[4].configMap: the templates have more than 4194304 bytes together")
}

func TestATemplateIsParsedOnceForAllObjectsAndRefreshes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"0-`+canary+`","user":"app"}`)
	w.store("store")
	w.configMap("shapes", map[string]string{"dsn": "pg://{{ .P_USER }}:{{ .password }}@db"})
	shaped := func(es *esv1.ExternalSecret) {
		from(inConfigMap("shapes", esv1.TemplateRefItem{Key: "dsn"}))(es)
		es.Spec.Target.Template.Data = map[string]string{"length": "{{ .password | len }}", "again": "{{ .password | len }}"}
		es.Spec.DataFrom = []esv1.DataFrom{{
			Extract: &esv1.RemoteRef{Key: "db"}, Rewrite: []esv1.Rewrite{{Transform: &esv1.RewriteTransform{Template: "P_{{ .value | upper }}"}}},
		}}
	}
	names := []string{"a", "b", "c"}
	for _, name := range names {
		w.create(w.externalSecret(name, every(time.Second), shaped))
	}
	password := ""
	synced := func(turn string) {
		t.Helper()
		password = turn + "-" + canary
		w.backend.put("db", `{"password":"`+password+`","user":"app"}`)
		for _, name := range names {
			length := strconv.Itoa(len(password))
			w.holds(name, map[string]string{"dsn": "pg://app:" + password + "@db", "length": length, "again": length})
		}
	}
	synced("1")
	w.refreshed(2)
	synced("22")
	if got := w.templates.Parses(); got > 3*len(names) {
		t.Errorf("three texts were parsed %d times", got) // objects that meet a new one at the same time each parse it
	}
	settled := w.templates.Parses()
	synced("333")
	w.refreshed(2)
	w.stop()
	w.start()
	synced("4444")
	if got := w.templates.Parses(); got != settled {
		t.Errorf("%d more were parsed at refreshes", got-settled)
	}
}

func TestATemplateThatComesFromASecretIsNotKeptBetweenRefreshes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "shape"}, Data: map[string][]byte{"k": []byte("salt-{{ .password }}")}})
	w.create(w.externalSecret("db", every(time.Second), from(inSecret("shape", esv1.TemplateRefItem{Key: "k"}))))
	w.ready("db")
	w.holds("db", map[string]string{"k": "salt-" + canary})
	before := w.templates.Parses()
	w.refreshed(3)
	if now := w.templates.Parses(); now < before+2 {
		t.Errorf("a text of a Secret was kept: parsed %d times, and %d after three refreshes", before, now)
	}
}

func TestTemplatesOfTargetsHaveTheDelimitersThatAreConfigured(t *testing.T) {
	t.Parallel()
	w := prepare(t)
	w.delims = template.NewDelims("[[", "]]")
	w.start()
	w.backend.put("db", `{"user":"app","password":"`+canary+`"}`)
	w.store("store")
	literal := "other: 'x[[ .USER ]]x'"
	w.create(w.externalSecret("db", every(time.Second), func(es *esv1.ExternalSecret) {
		es.Spec.Data, es.Spec.DataFrom = nil, []esv1.DataFrom{{
			Extract: &esv1.RemoteRef{Key: "db"}, Rewrite: []esv1.Rewrite{{Transform: &esv1.RewriteTransform{Template: "{{ .value | upper }}"}}},
		}}
		es.Spec.Target.Template = &esv1.Template{
			Data:         map[string]string{"helm": "{{ .Values.x }} and [[- .PASSWORD | quote -]] too", "random": "[[ randAlphaNum 20 ]]"},
			TemplateFrom: []esv1.TemplateFrom{{Literal: &literal}},
			Metadata:     esv1.TemplateMetadata{Labels: map[string]string{"user": "[[ .USER ]]"}, Annotations: map[string]string{"plain": "{{ .USER }}"}},
		}
	}))
	w.ready("db")
	secret := w.secret("db")
	if got, want := string(secret.Data["helm"]), `{{ .Values.x }} and"`+canary+`"too`; got != want {
		t.Error("the template was not rendered between the configured delimiters, or what is between others was")
	}
	if string(secret.Data["other"]) != "xappx" || secret.Labels["user"] != "app" || secret.Annotations["plain"] != "{{ .USER }}" {
		t.Errorf("literal %q, label %q, annotation %q", secret.Data["other"], secret.Labels["user"], secret.Annotations["plain"])
	}
	w.refreshed(2)
	if now := w.secret("db"); now.ResourceVersion != secret.ResourceVersion {
		t.Error("a random value between such delimiters is made anew at each refresh")
	}
	w.backend.put("db", `{"user":"other","password":"`+canary+`"}`)
	w.eventually("the label follows the value", func() error {
		if got := w.secret("db").Labels["user"]; got != "other" {
			return fmt.Errorf("label %q", got)
		}
		return nil
	})
}
