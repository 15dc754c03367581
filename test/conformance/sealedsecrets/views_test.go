package sealedsecrets_test

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
)

// world is all that a side's namespace shows at one moment.
type world struct {
	sealed  map[string]*v1alpha1.SealedSecret
	secrets map[string]*corev1.Secret
	// conditions are what the metric says of the SealedSecrets.
	conditions map[string]float64
	// version changes whenever something of it does.
	version string
}

func (c *controller) look(ctx context.Context) (world, error) {
	w := world{sealed: map[string]*v1alpha1.SealedSecret{}, secrets: map[string]*corev1.Secret{}}
	var sealed v1alpha1.SealedSecretList
	var secrets corev1.SecretList
	var err error
	if w.conditions, err = c.conditionInfo(ctx); err != nil {
		return w, err
	}
	if err := c.client.List(ctx, &sealed, client.InNamespace(c.namespace)); err != nil {
		return w, err
	}
	if err := c.client.List(ctx, &secrets, client.InNamespace(c.namespace)); err != nil {
		return w, err
	}
	var version strings.Builder
	for i := range sealed.Items {
		obj := &sealed.Items[i]
		w.sealed[obj.Name] = obj
		fmt.Fprintln(&version, obj.Name, obj.ResourceVersion)
	}
	for i := range secrets.Items {
		obj := &secrets.Items[i]
		w.secrets[obj.Name] = obj
		fmt.Fprintln(&version, obj.Name, obj.ResourceVersion)
	}
	w.version = version.String()
	return w, nil
}

// orphans says whether the garbage collector has something to do: a Secret whose SealedSecret is gone.
func (w world) orphans() bool {
	for _, secret := range w.secrets {
		owner := metav1.GetControllerOfNoCopy(secret)
		if owner == nil || owner.Kind != v1alpha1.KindSealedSecret || secret.DeletionTimestamp != nil {
			continue
		}
		if sealed := w.sealed[owner.Name]; sealed == nil || sealed.UID != owner.UID {
			return true
		}
	}
	return false
}

// unseen says whether there is a SealedSecret on which the controller has not reported.
func (w world) unseen() bool {
	for _, sealed := range w.sealed {
		if sealed.DeletionTimestamp == nil && sealed.Status.ObservedGeneration != sealed.Generation {
			return true
		}
	}
	return false
}

// untold says whether the metric says of a SealedSecret something else than its status.
func (w world) untold() bool {
	for name, sealed := range w.sealed {
		if said, ok := w.conditions[name]; !ok || said != conditionValue(sealed) {
			return true
		}
	}
	return false
}

// lives counts how often the Secrets of a side were made, by name.
type lives map[string][]types.UID

// view returns what a side shows of a case.
func (w world) view(name string, l lives) []string {
	lines := append(viewSealed(w.sealed[name]), viewSecret(w.secrets[name], w.sealed[name], name, l)...)
	if said, ok := w.conditions[name]; ok != (w.sealed[name] != nil) {
		lines = append(lines, fmt.Sprintf("in the metric: %t", ok))
	} else if ok && said != conditionValue(w.sealed[name]) {
		lines = append(lines, fmt.Sprintf("in the metric: %g", said))
	}
	return lines
}

// conditionValue is what the metric says of a condition.
func conditionValue(obj *v1alpha1.SealedSecret) float64 {
	for _, c := range obj.Status.Conditions {
		if c.Type == v1alpha1.ConditionSynced {
			return map[metav1.ConditionStatus]float64{metav1.ConditionTrue: 1, metav1.ConditionFalse: -1}[c.Status]
		}
	}
	return 0
}

func viewSealed(obj *v1alpha1.SealedSecret) []string {
	if obj == nil {
		return []string{"sealed: none"}
	}
	lines := []string{}
	for _, c := range obj.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			continue // an addition, which says the same: docs/compatibility.md
		}
		lines = append(lines, fmt.Sprintf("%s: %s", c.Type, c.Status))
		if c.Message != "" {
			lines = append(lines, "message "+ordered(c.Message))
		}
	}
	switch obj.Status.ObservedGeneration {
	case obj.Generation:
	case 0:
		lines = append(lines, "observedGeneration: none")
	default:
		lines = append(lines, "observedGeneration: an older one")
	}
	return lines
}

// named are the names of values in a message.
var named = regexp.MustCompile(`\([^ ,()]+(, [^ ,()]+)+\)`)

// ordered returns a message of the original in order: it goes through maps, and its lines and the names in them come as they may.
func ordered(message string) string {
	prefix, rest, found := strings.Cut(message, "Failed to unseal: ")
	if found {
		return prefix + "Failed to unseal: " + ordered(rest)
	}
	lines := strings.Split(message, "\n")
	for i, line := range lines {
		lines[i] = named.ReplaceAllStringFunc(line, func(names string) string {
			all := strings.Split(strings.Trim(names, "()"), ", ")
			slices.Sort(all)
			return "(" + strings.Join(all, ", ") + ")"
		})
	}
	slices.Sort(lines)
	return strings.Join(lines, " | ")
}

func viewSecret(secret *corev1.Secret, sealed *v1alpha1.SealedSecret, name string, l lives) []string {
	if secret == nil {
		return []string{"secret: none"}
	}
	lines := []string{"type: " + string(secret.Type)}
	if !slices.Contains(l[name], secret.UID) {
		l[name] = append(l[name], secret.UID)
	}
	if n := len(l[name]); n > 1 {
		lines = append(lines, fmt.Sprintf("made: %d times", n))
	}
	if secret.DeletionTimestamp != nil {
		lines = append(lines, "deletion: begun")
	}
	if secret.GenerateName != "" {
		lines = append(lines, "generateName: "+secret.GenerateName)
	}
	if secret.Immutable != nil {
		lines = append(lines, fmt.Sprintf("immutable: %t", *secret.Immutable))
	}
	for _, o := range secret.OwnerReferences {
		line := fmt.Sprintf("owner: %s %s %s", o.APIVersion, o.Kind, o.Name)
		if o.Controller != nil && *o.Controller {
			line += ", controller"
		}
		if o.BlockOwnerDeletion != nil && *o.BlockOwnerDeletion {
			line += ", blocks its deletion"
		}
		if o.Kind == v1alpha1.KindSealedSecret && (sealed == nil || sealed.UID != o.UID) {
			line += ", of before"
		}
		lines = append(lines, line)
	}
	for key, value := range secret.Labels {
		if key != v1alpha1.LabelSealedBy { // an addition: docs/compatibility.md
			lines = append(lines, "label "+key+": "+value)
		}
	}
	for key, value := range secret.Annotations {
		lines = append(lines, "annotation "+key+": "+value)
	}
	for _, f := range secret.Finalizers {
		lines = append(lines, "finalizer: "+f)
	}
	for key, value := range secret.Data {
		lines = append(lines, "data "+key+": "+string(value))
	}
	return lines
}

// viewEvents returns what was announced of each SealedSecret, each once however often.
func (c *controller) viewEvents(ctx context.Context, namespaces []string) (map[string][]string, error) {
	var events corev1.EventList
	if err := c.client.List(ctx, &events); err != nil {
		return nil, err
	}
	views := map[string][]string{}
	for _, e := range events.Items {
		if e.InvolvedObject.Kind != v1alpha1.KindSealedSecret || !slices.Contains(namespaces, e.InvolvedObject.Namespace) {
			continue
		}
		name := e.InvolvedObject.Name
		line := fmt.Sprintf("event %s %s: %s", e.Type, e.Reason, ordered(e.Message))
		if !slices.Contains(views[name], line) {
			views[name] = append(views[name], line)
		}
	}
	for _, lines := range views {
		slices.Sort(lines)
	}
	return views, nil
}

// scrape returns the metrics.
func (c *controller) scrape(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.metrics+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(resp.Body)
}

// conditionInfo returns what the metric says of the SealedSecrets, by name.
func (c *controller) conditionInfo(ctx context.Context) (map[string]float64, error) {
	families, err := c.scrape(ctx)
	said := map[string]float64{}
	for _, metric := range families["sealed_secrets_controller_condition_info"].GetMetric() {
		for _, label := range metric.GetLabel() {
			if label.GetName() == "name" {
				said[label.GetValue()] = metric.GetGauge().GetValue()
			}
		}
	}
	return said, err
}

// viewAll returns what is the same for all cases: the columns of kubectl, the sources of events, and the metrics of Sealed Secrets with their labels.
func (c *controller) viewAll(ctx context.Context) ([]string, error) {
	table, err := c.plane.Kubectl(ctx, "", "get", "sealedsecrets", "--namespace", c.namespace)
	if err != nil {
		return nil, err
	}
	header, _, _ := strings.Cut(table, "\n")
	lines := []string{"columns: " + strings.Join(strings.Fields(header), " ")}
	var events corev1.EventList
	if err := c.client.List(ctx, &events, client.InNamespace(c.namespace)); err != nil {
		return nil, err
	}
	for _, e := range events.Items {
		if e.InvolvedObject.Kind == v1alpha1.KindSealedSecret {
			lines = append(lines, "events from: "+cmp.Or(e.Source.Component, e.ReportingController)) // as kubectl does
		}
	}
	families, err := c.scrape(ctx)
	if err != nil {
		return nil, err
	}
	for name, family := range families {
		if !strings.HasPrefix(name, "sealed_secrets_controller_") {
			continue
		}
		for _, metric := range family.GetMetric() {
			line := fmt.Sprintf("%s %s", strings.ToLower(family.GetType().String()), name)
			for _, label := range metric.GetLabel() {
				if label.GetName() == "revision" || label.GetName() == "name" {
					line += " " + label.GetName() // of each side and of each case
					continue
				}
				line += fmt.Sprintf(" %s=%s", label.GetName(), label.GetValue())
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines), nil
}

// viewKeys returns the sealing keys that the controller has made.
func (c *controller) viewKeys(ctx context.Context, s *sealer) ([]string, error) {
	var secrets corev1.SecretList
	if err := c.client.List(ctx, &secrets, client.InNamespace(c.namespace), client.HasLabels{v1alpha1.LabelSealingKey}); err != nil {
		return nil, err
	}
	var lines []string
	for _, secret := range secrets.Items {
		if s.keys[secret.Name] != nil || secret.Type != corev1.SecretTypeTLS {
			continue
		}
		block, _ := pem.Decode(secret.Data[corev1.TLSCertKey])
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		lines = append(lines,
			fmt.Sprintf("made key: of %s, named %s..., labels %v, annotations %v, owners %v, immutable %t", secret.Type, secret.Name[:min(5, len(secret.Name))],
				secret.Labels, secret.Annotations, secret.OwnerReferences, secret.Immutable != nil),
			fmt.Sprintf("made certificate: subject %q, issuer %q, valid %s, a CA %t, usage %d, version %d, %s, names %v",
				cert.Subject, cert.Issuer, cert.NotAfter.Sub(cert.NotBefore), cert.IsCA, cert.KeyUsage, cert.Version, cert.SignatureAlgorithm, cert.DNSNames))
		for _, key := range slices.Sorted(maps.Keys(secret.Data)) {
			kind, _ := pem.Decode(secret.Data[key])
			lines = append(lines, fmt.Sprintf("made %s: %s", key, kind.Type))
		}
		if public, ok := cert.PublicKey.(*rsa.PublicKey); ok {
			lines = append(lines, fmt.Sprintf("made key: %d bits", public.N.BitLen()))
		}
	}
	return lines, nil
}
