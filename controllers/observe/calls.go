package observe

import "github.com/sealbridge/sealbridge/controllers/sessions"

// The values of the label status.
const (
	success = "success"
	failure = "error"
)

// operatorCall returns how External Secrets Operator names a provider and what it is asked, in
// externalsecret_provider_api_calls_count; empty names for what is no call of an API there.
func operatorCall(provider, service string, op sessions.Op) (name, call string) {
	switch provider {
	case "aws":
		calls := map[string]map[sessions.Op]string{
			"SecretsManager":     {sessions.OpFetch: "GetSecretValue", sessions.OpFind: "ListSecrets"},
			"ParameterStore":     {sessions.OpFetch: "GetParameter", sessions.OpFind: "GetParametersByPath"},
			"CertificateManager": {sessions.OpFetch: "ExportCertificate"},
		}
		return "AWS/" + service, calls[service][op]
	case "vault":
		return "HashiCorp/Vault", map[sessions.Op]string{sessions.OpOpen: "Login", sessions.OpFetch: "ReadSecretData", sessions.OpFind: "ListSecrets", sessions.OpCheck: "LookupSelf"}[op]
	case "kubernetes":
		return "Kubernetes", map[sessions.Op]string{sessions.OpFetch: "GetSecret", sessions.OpFind: "ListSecrets", sessions.OpCheck: "CreateSelfSubjectRulesReview"}[op]
	case "gcpsm":
		return "GCP/SecretManager", map[sessions.Op]string{sessions.OpFetch: "AccessSecretVersion", sessions.OpFind: "ListSecrets"}[op]
	case "azurekv":
		return "Azure/KeyVault", map[sessions.Op]string{sessions.OpFetch: "GetSecret", sessions.OpFind: "GetSecrets"}[op]
	case "webhook":
		return "Webhook", map[sessions.Op]string{sessions.OpFetch: "HTTPRequest"}[op]
	default:
		return "", ""
	}
}

// Called implements sessions.Observer.
func (m *Metrics) Called(c sessions.Call) {
	status := success
	if c.Failed > 0 {
		status = failure
	}
	m.calls.WithLabelValues(c.Provider, string(c.Op), status).Observe(c.Took.Seconds())
	if c.Batched > 0 {
		m.batched.WithLabelValues(c.Provider).Add(float64(c.Batched))
	}
	if c.Ahead > 0 {
		m.documents.WithLabelValues(c.Provider, "ahead").Add(float64(c.Ahead))
	}
	name, call := operatorCall(c.Provider, c.Service, c.Op)
	if call == "" {
		return
	}
	succeeded, failed := operatorCounts(c)
	if succeeded > 0 {
		m.apiCalls.WithLabelValues(name, call, success).Add(float64(succeeded))
	}
	if failed > 0 {
		m.apiCalls.WithLabelValues(name, call, failure).Add(float64(failed))
	}
}

// operatorCounts returns how External Secrets Operator counts what a call brought: a document that does not exist is no error
// of Vault or a webhook, whose clients take it for an answer, and one of Kubernetes, AWS, Google and Azure, whose clients do not.
func operatorCounts(c sessions.Call) (succeeded, failed int) {
	switch c.Provider {
	case "kubernetes", "aws", "gcpsm", "azurekv":
		return c.Succeeded, c.Failed + c.Missing
	}
	return c.Succeeded + c.Missing, c.Failed
}

// Answered implements sessions.Observer.
func (m *Metrics) Answered(a sessions.Answer) {
	for source, n := range map[string]int{"fetched": a.Fetched, "joined": a.Joined, "reused": a.Reused} {
		if n > 0 {
			m.documents.WithLabelValues(a.Provider, source).Add(float64(n))
		}
	}
}
