package externalsecret

import (
	"crypto/sha3"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/template"
	"github.com/sealbridge/sealbridge/providers"
)

const secretValue = "canary-55aa"

// fields is a document of given fields.
type fields map[string]string

func (f fields) Value(property string) (providers.Value, error) {
	if v, ok := f[property]; ok {
		return providers.NewValue([]byte(v)), nil
	}
	return providers.Value{}, providers.Errorf(providers.ErrPropertyNotFound, "no property %q", property)
}

func (f fields) Size() int { return len(f) }

func (f fields) Fields(string) (map[string]providers.Value, error) {
	out := map[string]providers.Value{}
	for k, v := range f {
		out[k] = providers.NewValue([]byte(v))
	}
	return out, nil
}

func TestValuesAreAssembledFromDocuments(t *testing.T) {
	t.Parallel()
	one := func(ref esv1.RemoteRef) *esv1.ExternalSecretSpec {
		ref.Key = "doc"
		return &esv1.ExternalSecretSpec{SecretStoreRef: esv1.StoreRef{Name: "s"}, Data: []esv1.Data{{SecretKey: "k", RemoteRef: ref}}}
	}
	all := func(ref esv1.RemoteRef) *esv1.ExternalSecretSpec {
		ref.Key = "doc"
		return &esv1.ExternalSecretSpec{SecretStoreRef: esv1.StoreRef{Name: "s"}, DataFrom: []esv1.DataFrom{{Extract: &ref}}}
	}
	rewritten := func(ref esv1.RemoteRef, rules ...esv1.Rewrite) *esv1.ExternalSecretSpec {
		spec := all(ref)
		spec.DataFrom[0].Rewrite = rules
		return spec
	}
	regexp := func(source, target string) esv1.Rewrite {
		return esv1.Rewrite{Regexp: &esv1.RewriteRegexp{Source: source, Target: target}}
	}
	transform := func(text string) esv1.Rewrite {
		return esv1.Rewrite{Transform: &esv1.RewriteTransform{Template: text}}
	}
	tests := map[string]struct {
		spec *esv1.ExternalSecretSpec
		doc  fields
		want map[string]string
		err  string
	}{
		"a property":                        {spec: one(esv1.RemoteRef{Property: "a"}), doc: fields{"a": "x"}, want: map[string]string{"k": "x"}},
		"a property that is missing":        {spec: one(esv1.RemoteRef{Property: "b"}), doc: fields{"a": "x"}, err: `spec.data[0] (k): no property "b"`},
		"base64":                            {spec: one(esv1.RemoteRef{Property: "a", DecodingStrategy: esv1.DecodingBase64}), doc: fields{"a": "+/8="}, want: map[string]string{"k": "\xfb\xff"}},
		"base64url":                         {spec: one(esv1.RemoteRef{Property: "a", DecodingStrategy: esv1.DecodingBase64URL}), doc: fields{"a": "-_8="}, want: map[string]string{"k": "\xfb\xff"}},
		"auto: base64":                      {spec: one(esv1.RemoteRef{Property: "a", DecodingStrategy: esv1.DecodingAuto}), doc: fields{"a": "+/8="}, want: map[string]string{"k": "\xfb\xff"}},
		"auto: base64url":                   {spec: one(esv1.RemoteRef{Property: "a", DecodingStrategy: esv1.DecodingAuto}), doc: fields{"a": "-_8="}, want: map[string]string{"k": "\xfb\xff"}},
		"auto: neither":                     {spec: one(esv1.RemoteRef{Property: "a", DecodingStrategy: esv1.DecodingAuto}), doc: fields{"a": "p@ss"}, want: map[string]string{"k": "p@ss"}},
		"not what the strategy says":        {spec: one(esv1.RemoteRef{Property: "a", DecodingStrategy: esv1.DecodingBase64}), doc: fields{"a": secretValue}, err: "not encoded as decodingStrategy Base64 says"},
		"a zero byte":                       {spec: one(esv1.RemoteRef{Property: "a"}), doc: fields{"a": "\x00"}, want: map[string]string{"k": "\x00"}},
		"a zero byte that is refused":       {spec: one(esv1.RemoteRef{Property: "a", NullBytePolicy: esv1.NullByteFail}), doc: fields{"a": secretValue + "\x00"}, err: "zero byte"},
		"a zero byte after decoding":        {spec: one(esv1.RemoteRef{Property: "a", NullBytePolicy: esv1.NullByteFail, DecodingStrategy: esv1.DecodingBase64}), doc: fields{"a": "AA=="}, err: "zero byte"},
		"all fields":                        {spec: all(esv1.RemoteRef{}), doc: fields{"a": "1", "b": "2"}, want: map[string]string{"a": "1", "b": "2"}},
		"names that are no keys":            {spec: all(esv1.RemoteRef{}), doc: fields{"a b/$": "1", "": "dropped"}, want: map[string]string{"a_b__": "1"}},
		"names that are no keys, unicode":   {spec: all(esv1.RemoteRef{ConversionStrategy: esv1.ConversionUnicode}), doc: fields{"a b/\u200b😀": "1"}, want: map[string]string{"a_U0020_b_U002f__U200b__U1f600_": "1"}},
		"letters and digits of all scripts": {spec: all(esv1.RemoteRef{ConversionStrategy: esv1.ConversionUnicode}), doc: fields{"größe": "1", "日本²": "2"}, want: map[string]string{"größe": "1", "日本²": "2"}},
		"names that become the same key":    {spec: all(esv1.RemoteRef{}), doc: fields{"a b": secretValue, "a_b": "2"}, err: `fields "a b" and "a_b" both become key "a_b"`},
		"a name that is too long":           {spec: all(esv1.RemoteRef{}), doc: fields{strings.Repeat("a", 254): "1"}, err: "has 254 characters"},
		"a name that is a path":             {spec: all(esv1.RemoteRef{}), doc: fields{"..": "1"}, want: map[string]string{"..": "1"}},
		"rewritten names":                   {spec: rewritten(esv1.RemoteRef{}, regexp("^db/", ""), transform("{{ .value | upper }}")), doc: fields{"db/user": "u", "db/pass": "p"}, want: map[string]string{"USER": "u", "PASS": "p"}},
		"rewritten names that are no keys": {spec: rewritten(esv1.RemoteRef{ConversionStrategy: esv1.ConversionUnicode}, regexp("x", "y")), doc: fields{"a/b": secretValue},
			err: `spec.dataFrom[0].extract: "a/b" cannot be a key of a Secret`},
		"a rewritten name that is empty":                           {spec: rewritten(esv1.RemoteRef{}, regexp("^skip.*", "")), doc: fields{"skip/a": "1", "skip/b": "2", "c": "3"}, want: map[string]string{"c": "3"}},
		"rewritten names that become one":                          {spec: rewritten(esv1.RemoteRef{}, regexp("[ab]", "c")), doc: fields{"a": secretValue, "b": secretValue}, err: `spec.dataFrom[0].extract: rewrite[0]: regexp: fields "a" and "b" both become key "c"`},
		"a name that the API server would refuse may be rewritten": {spec: rewritten(esv1.RemoteRef{}, regexp("a+", "a")), doc: fields{strings.Repeat("a", 300): "1"}, want: map[string]string{"a": "1"}},
		"merged before it is decoded":                              {spec: rewritten(esv1.RemoteRef{DecodingStrategy: esv1.DecodingBase64}, esv1.Rewrite{Merge: &esv1.RewriteMerge{}}), doc: fields{"a": `{"x":"eA=="}`, "b": `{"y":"eQ=="}`}, want: map[string]string{"x": "x", "y": "y"}},
		"a zero byte after a rewrite":                              {spec: rewritten(esv1.RemoteRef{NullBytePolicy: esv1.NullByteFail}, regexp("^", "x-")), doc: fields{"a": secretValue + "\x00"}, err: `spec.dataFrom[0].extract: key "x-a": the value has a zero byte`},
		"a merge of what is no object":                             {spec: rewritten(esv1.RemoteRef{}, esv1.Rewrite{Merge: &esv1.RewriteMerge{}}), doc: fields{"a": secretValue}, err: `rewrite[0]: merge: the value of field "a" is not a JSON object`},
		"no fields":                                                {spec: all(esv1.RemoteRef{}), doc: fields{}, want: map[string]string{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			documents := map[origin]providers.Result{entriesOf(tt.spec)[0].origin: {Document: tt.doc}}
			got, _, err := valuesOf(t, tt.spec, documents)
			check(t, tt.want, got, err, tt.err)
		})
	}
}

// valuesOf makes values of documents.
func valuesOf(t *testing.T, spec *esv1.ExternalSecretSpec, documents map[origin]providers.Result) (map[string][]byte, []string, error) {
	t.Helper()
	found, missing, err := gather(t.Context(), spec, documents)
	if err != nil {
		return nil, nil, err
	}
	values, err := assemble(t.Context(), newRenderer(nil), found)
	return values, missing, err
}

func check(t *testing.T, want map[string]string, got map[string][]byte, err error, wantErr string) {
	t.Helper()
	if wantErr != "" {
		if err == nil || !strings.Contains(err.Error(), wantErr) || strings.Contains(err.Error(), secretValue) {
			t.Fatalf("error %v, want one with %q and without the value", err, wantErr)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for k, v := range got {
		texts[k] = string(v)
	}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Error(diff)
	}
}

func TestLaterEntriesWinAndDataWinsOverAll(t *testing.T) {
	t.Parallel()
	spec := &esv1.ExternalSecretSpec{
		SecretStoreRef: esv1.StoreRef{Name: "s"},
		Data:           []esv1.Data{{SecretKey: "c", RemoteRef: esv1.RemoteRef{Key: "3", Property: "c"}}},
		DataFrom:       []esv1.DataFrom{{Extract: &esv1.RemoteRef{Key: "1"}}, {Extract: &esv1.RemoteRef{Key: "2"}}},
	}
	docs := map[origin]providers.Result{}
	for i, f := range []fields{{"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "2"}, {"c": "3"}} {
		docs[entriesOf(spec)[i].origin] = providers.Result{Document: f}
	}
	got, _, err := valuesOf(t, spec, docs)
	check(t, map[string]string{"a": "1", "b": "2", "c": "3"}, got, err, "")
	docs[entriesOf(spec)[2].origin] = providers.Result{Err: providers.ErrNotFound}
	if _, _, err := valuesOf(t, spec, docs); !errors.Is(err, providers.ErrNotFound) {
		t.Errorf("error %v: one missing document fails the whole", err)
	}
}

func TestContentIsRendered(t *testing.T) {
	t.Parallel()
	values := map[string][]byte{"user": []byte("app"), "password": []byte(secretValue), "n": []byte("1")}
	tests := map[string]struct {
		template *esv1.Template
		data     map[string]string
		labels   map[string]string
		notes    map[string]string
		err      string
	}{
		"without a template": {data: map[string]string{"user": "app", "password": secretValue, "n": "1"},
			labels: map[string]string{"own": "l", "argocd.argoproj.io/secret-type": "cluster"}, notes: map[string]string{"own": "a"}},
		"an empty template copies nothing from the object": {template: &esv1.Template{},
			data: map[string]string{"user": "app", "password": secretValue, "n": "1"}},
		"data replaces the values": {template: &esv1.Template{Data: map[string]string{"x": "{{ .user | upper }}"}}, data: map[string]string{"x": "APP"}},
		"data is merged into the values": {template: &esv1.Template{MergePolicy: esv1.TemplateMerge, Data: map[string]string{"n": "{{ .user }}"}},
			data: map[string]string{"user": "app", "password": secretValue, "n": "app"}},
		"a literal makes keys, data wins": {template: &esv1.Template{Data: map[string]string{"b": "data"},
			TemplateFrom: []esv1.TemplateFrom{{Literal: ptr.To("a: {{ .user }}\nb: literal")}}}, data: map[string]string{"a": "app", "b": "data"}},
		"a literal makes labels and annotations": {template: &esv1.Template{MergePolicy: esv1.TemplateMerge, TemplateFrom: []esv1.TemplateFrom{
			{Literal: ptr.To("l: {{ .user }}"), Target: "labels"}, {Literal: ptr.To("a: {{ .user }}"), Target: "Annotations"}}},
			data: map[string]string{"user": "app", "password": secretValue, "n": "1"}, labels: map[string]string{"l": "app"}, notes: map[string]string{"a": "app"}},
		"a literal's values are decoded": {template: &esv1.Template{TemplateFrom: []esv1.TemplateFrom{
			{Literal: ptr.To("a: eA=="), ValuesDecodingStrategy: esv1.DecodingBase64}}}, data: map[string]string{"a": "x"}},
		"a literal that is no map": {template: &esv1.Template{TemplateFrom: []esv1.TemplateFrom{{Literal: ptr.To("{{ .password }}")}}},
			err: "does not make a YAML map of strings"},
		"a literal whose aliases are few": {template: &esv1.Template{TemplateFrom: []esv1.TemplateFrom{{Literal: ptr.To("a: &a {{ .user }}\nb: *a")}}},
			data: map[string]string{"a": "app", "b": "app"}},
		"a literal whose aliases make gigabytes": {template: &esv1.Template{TemplateFrom: []esv1.TemplateFrom{
			{Literal: ptr.To(`a: &a {{ repeat 400000 "x" }}{{ range until 30000 }}{{ print "\n" . ": *a" }}{{ end }}`)}}},
			err: "spec.target.template.templateFrom[0].literal makes YAML whose aliases expand to more than a Secret holds"},
		"a literal that is very many values": {template: &esv1.Template{TemplateFrom: []esv1.TemplateFrom{{Literal: ptr.To(`a: [{{ repeat 200000 "0," }}]`)}}},
			err: "templateFrom[0].literal makes YAML of about 200003 values, 131072 are allowed; leave out"},
		"metadata is rendered": {template: &esv1.Template{Metadata: esv1.TemplateMetadata{Labels: map[string]string{"u": "{{ .user }}"}, Annotations: map[string]string{"v": "{{ .n }}"}}},
			data: map[string]string{"user": "app", "password": secretValue, "n": "1"}, labels: map[string]string{"u": "app"}, notes: map[string]string{"v": "1"}},
		"a key that is missing":       {template: &esv1.Template{Data: map[string]string{"x": "{{ .password }}{{ .missing }}"}}, err: `no key "missing"`},
		"a template that is none":     {template: &esv1.Template{Data: map[string]string{"x": "{{ .password "}}, err: "the syntax is wrong"},
		"a function that reaches out": {template: &esv1.Template{Data: map[string]string{"x": `{{ getHostByName .password }}`}}, err: `"getHostByName" does not exist`},
		"a template that fails":       {template: &esv1.Template{Data: map[string]string{"x": `{{ fail .password }}`}}, err: "called fail"},
		"a key that is none":          {template: &esv1.Template{Data: map[string]string{"a/b": "x"}}, err: "cannot be a key"},
		"more than a Secret holds":    {template: &esv1.Template{Data: map[string]string{"x": strings.Repeat("x", 600_000), "y": "{{ .user | repeat 160000 }}"}}, err: "prints too much"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			es := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "es",
				Labels: map[string]string{"own": "l", "argocd.argoproj.io/instance": "x", "kustomize.toolkit.fluxcd.io/name": "x",
					"gitsync.sealbridge.dev/name": "x", "argocd.argoproj.io/secret-type": "cluster", esv1.LabelCreatedBy: "x"},
				Annotations: map[string]string{"own": "a", "kubectl.kubernetes.io/last-applied-configuration": "x", "argocd.argoproj.io/tracking-id": "x"}}}
			es.Spec.Target.Template = tt.template
			// However busy the machine is, no limit is met but those that are meant.
			c, err := render(t.Context(), template.Options{MaxTime: time.Hour}, es, values, nil)
			check(t, tt.data, c.data, err, tt.err)
			if tt.err != "" {
				return
			}
			c.mark(es, "hash")
			labels, notes := map[string]string{}, map[string]string{}
			for k, v := range tt.labels {
				labels[k] = v
			}
			for k, v := range tt.notes {
				notes[k] = v
			}
			labels[esv1.LabelManaged], labels[esv1.LabelCreatedBy] = "true", createdBy(es)
			notes[esv1.AnnotationDataHash] = "hash"
			if diff := cmp.Diff(labels, c.labels) + cmp.Diff(notes, c.annotations); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMoreThanASecretHoldsIsRefused(t *testing.T) {
	t.Parallel()
	values := map[string][]byte{"a": make([]byte, 5<<20)}
	if _, err := render(t.Context(), template.Options{}, &esv1.ExternalSecret{}, values, nil); err == nil || !strings.Contains(err.Error(), "5242880 bytes, a Secret holds 1048576") {
		t.Errorf("render: %v", err)
	}
}

func TestHashesAreThoseOfExternalSecretsOperator(t *testing.T) {
	t.Parallel()
	reference := func(v any) string { return fmt.Sprintf("%x", sha3.Sum224(fmt.Appendf(nil, "%+v", v))) }
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 50 {
		data := map[string][]byte{}
		for i := range rnd.IntN(5) {
			value := make([]byte, rnd.IntN(1+n*100))
			for j := range value {
				value[j] = byte(rnd.UintN(256))
			}
			data[fmt.Sprintf("key-%d", rnd.IntN(1000)+i)] = value
		}
		if got := dataHash(data); got != reference(data) {
			t.Fatalf("hash %s, want %s", got, reference(data))
		}
	}
	if dataHash(nil) != reference(map[string][]byte(nil)) {
		t.Error("hash of no data")
	}
	es := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "es", Generation: 7,
		Labels: map[string]string{"b": "2", "a": "1"}}}
	type meta struct{ annotations, labels map[string]string }
	if got, want := versionOf(es), "7-"+reference(meta{annotations: nil, labels: es.Labels}); got != want {
		t.Errorf("version %s, want %s", got, want)
	}
	if got, want := createdBy(es), reference("ns/es"); got != want {
		t.Errorf("created-by %s, want %s", got, want)
	}
	short, long := strings.Repeat("a", 27), strings.Repeat("a", 28)
	if fieldOwner(short) != "externalsecrets.external-secrets.io/"+short || fieldOwner(long) != "externalsecrets.external-secrets.io/sha3/"+reference(long) {
		t.Errorf("field owners %s, %s", fieldOwner(short), fieldOwner(long))
	}
}

func TestASecretThatIsNotOursToWriteIsRefused(t *testing.T) {
	t.Parallel()
	es := esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Name: "es", UID: "me"}}
	tests := map[string]struct {
		policy esv1.CreationPolicy
		change func(*corev1.Secret)
		wants  corev1.SecretType
		err    string
	}{
		"a Secret of nobody": {},
		"ours": {change: func(s *corev1.Secret) {
			s.OwnerReferences = []metav1.OwnerReference{{UID: "me", Controller: ptr.To(true)}}
		}},
		"owned, not controlled": {change: func(s *corev1.Secret) { s.OwnerReferences = []metav1.OwnerReference{{UID: "x"}} }},
		"controlled by another": {change: func(s *corev1.Secret) {
			s.OwnerReferences = []metav1.OwnerReference{{Kind: "ExternalSecret", Name: "b", UID: "x", Controller: ptr.To(true)}}
		}, err: "target is owned by another: Secret a/s is controlled by ExternalSecret b"},
		"controlled by a predecessor": {change: func(s *corev1.Secret) {
			s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret", Name: "es", UID: "x", Controller: ptr.To(true)}}
		}},
		"controlled by a certificate": {change: func(s *corev1.Secret) {
			s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "cert-manager.io/v1", Kind: "Certificate", Name: "es", UID: "x", Controller: ptr.To(true)}}
		}, err: "is controlled by Certificate es"},
		"controlled by a certificate, and shared": {policy: esv1.CreationMerge, change: func(s *corev1.Secret) {
			s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "cert-manager.io/v1", Kind: "Certificate", Name: "es", UID: "x", Controller: ptr.To(true)}}
		}},
		"controlled by another, and shared": {policy: esv1.CreationMerge, change: func(s *corev1.Secret) {
			s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret", Name: "b", UID: "x", Controller: ptr.To(true)}}
		}, err: "is controlled by ExternalSecret b"},
		"that may be changed":   {change: func(s *corev1.Secret) { s.Immutable = ptr.To(false) }},
		"of the type":           {wants: corev1.SecretTypeOpaque},
		"a token of an account": {change: func(s *corev1.Secret) { s.Type = corev1.SecretTypeServiceAccountToken }, err: "is refused"},
		"a bootstrap token":     {change: func(s *corev1.Secret) { s.Type = corev1.SecretTypeBootstrapToken }, err: "is refused"},
		"immutable":             {change: func(s *corev1.Secret) { s.Immutable = ptr.To(true) }, err: "is immutable"},
		"on its way out":        {change: func(s *corev1.Secret) { s.DeletionTimestamp = ptr.To(metav1.Now()) }, err: "is being deleted"},
		"of another type":       {wants: corev1.SecretTypeTLS, err: "the type of a Secret cannot change"},
		"of any type":           {change: func(s *corev1.Secret) { s.Type = corev1.SecretTypeTLS }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "s"}, Type: corev1.SecretTypeOpaque}
			if tt.change != nil {
				tt.change(s)
			}
			es := es
			es.Spec.Target.CreationPolicy = tt.policy
			err := refuseTarget(s, &es, tt.wants)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("refuseTarget: %v, want %q", err, tt.err)
			}
		})
	}
}

func TestAHashOnATargetIsOneOfItsOwnThatNobodyMakesWithoutTheKey(t *testing.T) {
	t.Parallel()
	named := func(namespace, name, target string) *esv1.ExternalSecret {
		es := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		es.Spec.Target.Name = target
		return es
	}
	hash := dataHash(map[string][]byte{"pin": []byte("1234")})
	es := named("ns", "es", "")
	said := keyedHash([]byte("key"), es, hash)
	if strings.Contains(said, hash) || said != keyedHash([]byte("key"), es, hash) {
		t.Errorf("hash %s of %s", said, hash)
	}
	for name, other := range map[string]string{
		"another key":       keyedHash([]byte("other"), es, hash),
		"another namespace": keyedHash([]byte("key"), named("ns2", "es", ""), hash),
		"another name":      keyedHash([]byte("key"), named("ns", "es2", ""), hash),
		"another target":    keyedHash([]byte("key"), named("ns", "es", "other"), hash),
		"other data":        keyedHash([]byte("key"), es, dataHash(nil)),
	} {
		if other == said {
			t.Errorf("%s has the same hash", name)
		}
	}
	for name, tt := range map[string]struct {
		annotation string
		want       bool
	}{"ours": {said, true}, "External Secrets Operator's": {hash, true}, "none": {"", false}, "another": {dataHash(nil), false}} {
		c := content{hash: hash}
		c.mark(es, said)
		if got := c.hasHash(tt.annotation); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestWhatATemplateCostsGrowsWithItsKeysAndNotWithTheirSquare looks at the memory that rendering takes altogether, because time
// differs from run to run.
func TestWhatATemplateCostsGrowsWithItsKeysAndNotWithTheirSquare(t *testing.T) {
	cost := func(keys int) uint64 {
		es, values := &esv1.ExternalSecret{}, map[string][]byte{}
		es.Spec.Target.Template = &esv1.Template{Data: map[string]string{}}
		for i := range keys {
			name := fmt.Sprintf("key%d", i)
			values[name] = []byte("value")
			es.Spec.Target.Template.Data[name] = "{{ ." + name + " | upper }}"
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := render(t.Context(), template.Options{MaxTime: time.Hour}, es, values, nil) // what it takes on a busy machine is not the question
		runtime.ReadMemStats(&after)
		if err != nil || len(c.data) != keys || string(c.data["key0"]) != "VALUE" {
			t.Fatalf("%d keys: %v", len(c.data), err)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	cost(1) // what is made once for all
	const few, times = 200, 8
	if one, many := cost(few), cost(few*times); many > 2*times*one {
		t.Errorf("%d keys take %d bytes, %d take %d", few, one, few*times, many)
	}
}

func TestAValueWhoseNameIsNoKeyOfASecretIsThereForTemplates(t *testing.T) {
	t.Parallel()
	values := map[string][]byte{"größe": []byte("1"), "..": []byte("2"), "a": []byte("3")}
	for name, tt := range map[string]struct {
		template *esv1.Template
		want     map[string]string
		err      string
	}{
		"a template of keys of its own": {template: &esv1.Template{Data: map[string]string{"size": `{{ .größe }}{{ index . ".." }}`}}, want: map[string]string{"size": "12"}},
		"no template":                   {err: `".." cannot be a key of a Secret`},
		"a template beside the values":  {template: &esv1.Template{MergePolicy: esv1.TemplateMerge, Data: map[string]string{"..": "x"}}, err: "cannot be a key of a Secret"},
		"a template of labels alone":    {template: &esv1.Template{Metadata: esv1.TemplateMetadata{Labels: map[string]string{"l": "{{ .a }}"}}}, err: "cannot be a key of a Secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			es := &esv1.ExternalSecret{}
			es.Spec.Target.Template = tt.template
			c, err := render(t.Context(), template.Options{}, es, values, nil)
			check(t, tt.want, c.data, err, tt.err)
		})
	}
}
