package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/rest"
)

// profile keeps, when profiles are wanted, a CPU profile of the controller's next seconds and then one of its heap, as
// <scenario>.<name>.cpu.pprof and .heap.pprof. It returns at once; a profile that cannot be had is said in the log.
func (w *world) profile(ctx context.Context, name string, d time.Duration) {
	if !w.settings.profile || w.subject.other {
		return
	}
	address := "http://" + loopback(w.ports+1) + "/debug/pprof/"
	base := filepath.Join(w.settings.dir, w.scenario+"."+name)
	go w.profileServer(ctx, base, d)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, d+time.Minute)
		defer cancel()
		err := download(ctx, http.DefaultClient, fmt.Sprintf("%sprofile?seconds=%d", address, int(d.Seconds())), base+".cpu.pprof")
		if err == nil {
			err = download(ctx, http.DefaultClient, address+"heap?gc=1", base+".heap.pprof")
		}
		if err != nil {
			fmt.Fprintln(w.log, "  no profile:", err)
		}
	}()
}

// profileServer keeps a CPU profile of the API server.
func (w *world) profileServer(ctx context.Context, base string, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d+time.Minute)
	defer cancel()
	hc, err := rest.HTTPClientFor(w.plane.Config())
	if err == nil {
		err = download(ctx, hc, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", w.plane.Config().Host, int(d.Seconds())), base+".apiserver.cpu.pprof")
	}
	if err != nil {
		fmt.Fprintln(w.log, "  no profile of the API server:", err)
	}
}

// download fetches url into a file; it waits for a server that is not there yet.
func download(ctx context.Context, hc *http.Client, url, file string) error {
	var resp *http.Response
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return fmt.Errorf("ask for %s: %w", url, err)
		}
		if resp, err = hc.Do(req); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read %s: %w", url, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	return nil
}

// queued returns how many ExternalSecrets wait in the controller's work queue now, from its own metrics.
func (w *world) queued(ctx context.Context) (int, error) {
	families, err := w.metrics(ctx)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, metric := range families["workqueue_depth"].GetMetric() {
		if labelOf(metric, "name") == "externalsecret" {
			sum += metric.GetGauge().GetValue()
		}
	}
	return int(sum), nil
}

// metrics returns the controller's own metrics by name.
func (w *world) metrics(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+loopback(w.ports)+"/metrics", http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("read the controller's metrics: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read the controller's metrics: %w", err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read the controller's metrics: %w", err)
	}
	return families, nil
}

func labelOf(metric *dto.Metric, name string) string {
	for _, label := range metric.GetLabel() {
		if label.GetName() == name {
			return label.GetValue()
		}
	}
	return ""
}
