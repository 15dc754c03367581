package install_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// scrape returns what the controller's endpoint of metrics answers.
func scrape(t *testing.T, address string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return string(raw), err
}

// freeAddress returns an address of this machine that nobody listens on, and that no outgoing connection gets.
func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := process.FreePorts(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// undocumented returns the metrics of our own, and those that have others' names, that no page names. "_sync_calls_error" after
// "externalsecret_sync_calls_total" begins as that does, and so does the metric of another kind.
func undocumented(t *testing.T, scraped string) []string {
	t.Helper()
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	var pages string
	for _, page := range []string{"operations.md", "spec/sealedsecret.md"} {
		text, err := os.ReadFile(filepath.Join(root, "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		pages += string(text)
	}
	var out []string
	ours := 0
	for line := range strings.Lines(scraped) {
		fields := strings.Fields(line)
		if len(fields) != 4 || fields[1] != "TYPE" || !strings.HasPrefix(fields[2], "seal") && !strings.Contains(fields[2], "secretstore_") && !strings.Contains(fields[2], "externalsecret_") {
			continue
		}
		ours++
		_, end, _ := strings.Cut(fields[2], "_")
		written := []string{fields[2], "_" + end, "externalsecret_" + end, "..._" + strings.TrimPrefix(end, "secrets_controller_")}
		if !slices.ContainsFunc(written, func(name string) bool { return strings.Contains(pages, "`"+name+"`") }) {
			out = append(out, fields[2])
		}
	}
	if ours < 12 {
		t.Errorf("%d metrics of our own were scraped: the check would say nothing", ours)
	}
	return out
}

func TestTheMetricsAreThoseOfTheOperatorAndHoldNoValue(t *testing.T) {
	w := install(t, "default")
	ns, address := w.cp.Namespace(t), freeAddress(t)
	w.run("--metrics-bind-address=" + address)
	es := &esv1.ExternalSecret{ObjectMeta: named(ns, "db"), Spec: esSpec(esv1.StoreRef{Name: "store"})}
	broken := &esv1.ExternalSecret{ObjectMeta: named(ns, "broken"), Spec: esSpec(esv1.StoreRef{Name: "store"})}
	broken.Spec.Data[0].RemoteRef.Property = "none"
	w.create(&esv1.SecretStore{ObjectMeta: named(ns, "store"), Spec: storeSpec()}, es, broken,
		&esv1.ClusterSecretStore{ObjectMeta: named("", ns), Spec: storeSpec()},
		&esv1.ClusterExternalSecret{ObjectMeta: named("", ns), Spec: esv1.ClusterExternalSecretSpec{
			Namespaces: []string{ns}, ExternalSecretSpec: esSpec(esv1.StoreRef{Name: ns, Kind: esv1.KindClusterSecretStore})}})
	w.holds(ns, "db")
	w.holds(ns, ns)
	of := func(name string) string { return fmt.Sprintf(`name="%s",namespace="%s"`, name, ns) }
	cluster := fmt.Sprintf(`name="%s",namespace=""`, ns)
	want := []string{
		"externalsecret_sync_calls_total{" + of("db") + "}", "externalsecret_sync_calls_error{" + of("db") + "} 0",
		"externalsecret_sync_calls_error{" + of("broken") + "} ", "externalsecret_reconcile_duration{" + of("db") + "}",
		`externalsecret_status_condition{condition="Ready",` + of("db") + `,status="True"} 1`,
		`externalsecret_status_condition{condition="Ready",` + of("broken") + `,status="False"} 1`,
		`secretstore_status_condition{condition="Ready",` + of("store") + `,status="True"} 1`,
		"secretstore_reconcile_duration{" + of("store") + "}",
		`clustersecretstore_status_condition{condition="Ready",` + cluster + `,status="True"} 1`,
		`clusterexternalsecret_status_condition{condition="Ready",` + cluster + `,status="True"} 1`,
		"clusterexternalsecret_reconcile_duration{" + cluster + "}",
		`sealbridge_objects{kind="externalsecret",ready="True"}`, "sealbridge_externalsecret_staleness_seconds_count",
		"sealbridge_externalsecret_refresh_latency_seconds_count", `sealbridge_documents_total{provider="fake",source="fetched"}`,
		`sealbridge_provider_call_duration_seconds_count{call="open",provider="fake",status="success"}`,
		`sealbridge_provider_call_duration_seconds_count{call="fetch",provider="fake",status="success"}`,
	}
	w.eventually("the metrics are there", func() error {
		got, err := scrape(t, address)
		if err != nil {
			return err
		}
		if strings.Contains(got, value) {
			t.Fatal("a value is in the metrics")
		}
		for _, line := range want {
			if !strings.Contains(got, line) {
				return fmt.Errorf("there is no %s", line)
			}
		}
		for _, histogram := range []string{"sealbridge_externalsecret_staleness_seconds", "sealbridge_externalsecret_refresh_latency_seconds"} {
			if strings.Contains(got, histogram+"_count 0\n") {
				return fmt.Errorf("%s has counted no object", histogram)
			}
		}
		return nil
	})
	got, err := scrape(t, address)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range undocumented(t, got) {
		t.Errorf("no page says what %s counts", name)
	}
	for _, obj := range []*esv1.ExternalSecret{es, broken} {
		if err := w.c.Delete(t.Context(), obj); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	}
	w.eventually("the series go with their objects", func() error {
		got, err := scrape(t, address)
		if err == nil && (strings.Contains(got, of("db")) || strings.Contains(got, of("broken"))) {
			err = fmt.Errorf("they are there")
		}
		return err
	})
}

func TestNamesOfObjectsCanBeLeftOutOfTheMetrics(t *testing.T) {
	w := install(t, "default")
	ns, address := w.cp.Namespace(t), freeAddress(t)
	w.run("--metrics-bind-address="+address, "--metrics-omit-names")
	w.create(&esv1.SecretStore{ObjectMeta: named(ns, "store"), Spec: storeSpec()},
		&esv1.ExternalSecret{ObjectMeta: named(ns, "db"), Spec: esSpec(esv1.StoreRef{Name: "store"})})
	w.holds(ns, "db")
	w.eventually("the object is counted", func() error {
		got, err := scrape(t, address)
		if err == nil && !strings.Contains(got, `sealbridge_objects{kind="externalsecret",ready="True"}`) {
			err = fmt.Errorf("it is not")
		}
		if strings.Contains(got, ns) {
			t.Errorf("the namespace of an object is in the metrics")
		}
		return err
	})
}
