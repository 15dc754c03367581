package redact

import (
	"errors"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Refuser says who refused a request and what to do, where the API server names somebody in words of its own: a quota, an admission
// policy or webhook, a right that is missing, a namespace that is being deleted. None of these is cured by the object alone, and all may
// be without it. It returns "" for any other error, also for one that says what is wrong with the object. What they say beyond
// their name is left out: they have seen the object.
func Refuser(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return ""
	}
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return "the namespace is being deleted"
	}
	message := status.Status().Message
	for _, r := range []struct {
		words *regexp.Regexp
		text  string
	}{
		{exceededQuota, "ResourceQuota $1 is used up: raise it, or delete what nobody needs"},
		{deniedByPolicy, "ValidatingAdmissionPolicy $1 refuses it: change the one or the other"},
		{missingRight, "the right to $1 $2 is missing: grant it"},
		{deniedByWebhook, "admission webhook $1 refuses it: ask who runs it"},
		{failedWebhook, "admission webhook $1 does not answer: ask who runs it"},
	} {
		if found := r.words.FindStringSubmatchIndex(message); found != nil && found[3]-found[2] <= maxName {
			return string(r.words.ExpandString(nil, r.text, message, found))
		}
	}
	return ""
}

// maxName is the length of the longest name; an expression that counts takes half a megabyte.
const maxName = 253

// What the API server says is looked for at the beginning of its message, where nothing of an object stands but its name, and
// only what can be a name is let through.
const (
	forbidden = `^[a-z0-9.]+ "[A-Za-z0-9.:-]*" is forbidden: `
	name      = `[a-z0-9][a-z0-9.-]*`
)

var (
	exceededQuota   = regexp.MustCompile(forbidden + `exceeded quota: (` + name + `),`)
	deniedByPolicy  = regexp.MustCompile(forbidden + `ValidatingAdmissionPolicy '(` + name + `)' with binding `)
	missingRight    = regexp.MustCompile(forbidden + `User "(?:[^"\\]|\\.)*" cannot ([a-z]+) resource "([a-z]+)"`)
	deniedByWebhook = regexp.MustCompile(`^admission webhook "(` + name + `)" denied the request`)
	failedWebhook   = regexp.MustCompile(`^Internal error occurred: failed calling webhook "(` + name + `)"`)
)
