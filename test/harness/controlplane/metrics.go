package controlplane

import (
	"context"
	"fmt"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/kubernetes"
)

// Request is what the API server counts its requests by.
type Request struct {
	// Verb is in capitals, as in GET, LIST, WATCH, POST, PUT, PATCH, APPLY, DELETE.
	Verb string
	// Group is empty for the core group; Resource is the plural; Subresource is empty for the object itself.
	Group, Resource, Subresource string
	// Code is the HTTP status.
	Code string
}

// Requests returns how many requests of each kind the API server has finished since its start, from its own counter
// apiserver_request_total. All clients count, also the control plane's own controllers.
func (c *ControlPlane) Requests(ctx context.Context) (map[Request]int, error) {
	clients, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return nil, fmt.Errorf("build client: %w", err)
	}
	body, err := clients.RESTClient().Get().AbsPath("/metrics").Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the API server's metrics: %w", err)
	}
	defer body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(body)
	if err != nil {
		return nil, fmt.Errorf("read the API server's metrics: %w", err)
	}
	counts := map[Request]int{}
	for _, metric := range families["apiserver_request_total"].GetMetric() {
		counts[requestOf(metric)] += int(metric.GetCounter().GetValue())
	}
	return counts, nil
}

func requestOf(metric *dto.Metric) Request {
	var r Request
	for _, label := range metric.GetLabel() {
		switch label.GetName() {
		case "verb":
			r.Verb = label.GetValue()
		case "group":
			r.Group = label.GetValue()
		case "resource":
			r.Resource = label.GetValue()
		case "subresource":
			r.Subresource = label.GetValue()
		case "code":
			r.Code = label.GetValue()
		}
	}
	return r
}
