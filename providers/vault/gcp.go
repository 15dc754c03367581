package vault

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
	"github.com/sealbridge/sealbridge/providers/internal/googleidentity"
)

// loginGCP logs in with a token (JWT) in which a Google service account says who it is: one that it has signed with its key, or
// Google for it, else one by which the metadata server vouches for the controller. The ServiceAccount of serviceAccountRef has no
// part in that, as in External Secrets Operator. For ten minutes, an hour where it is the metadata server's, the token is as good
// as a password for that role.
func (a api) loginGCP(ctx context.Context, auth *stores.VaultGCPAuth, creds credential.Reader) (login, error) {
	google := googleidentity.New(creds, "auth.gcp")
	defer google.Close()
	audience := "vault/" + auth.Role
	who := googleCaller{name: "the controller's own identity", vouched: true}
	var token string
	var err error
	switch {
	case auth.SecretRef != nil:
		who.vouched = false
		token, who.name, err = google.AssertByKey(ctx, auth.SecretRef, audience)
	case auth.WorkloadIdentity != nil:
		who.vouched = false
		token, who.name, err = google.AssertByWorkloadIdentity(ctx, auth.WorkloadIdentity, audience)
	default:
		token, err = google.IdentityToken(ctx, strings.TrimRight(a.server, "/")+"/"+audience, "auth.gcp.secretRef or auth.gcp.workloadIdentity")
	}
	if err != nil {
		return login{}, err
	}
	return a.loginAt(ctx, mountOr(auth.Path, "gcp"), "login", map[string]string{"role": auth.Role, "jwt": token}, func(path string, r *reply) error {
		return a.refusedGCP(path, r, auth.Role, who)
	})
}

// googleCaller is who logs in, for messages.
type googleCaller struct {
	name string
	// vouched is set when the metadata server vouches for it.
	vouched bool
}

// refusedGCP explains why Vault gives no token for one of Google's.
func (a api) refusedGCP(path string, r *reply, name string, who googleCaller) error {
	role := "role " + strconv.Quote(name)
	switch {
	case r.says(role + " not found"):
		return a.errorf(providers.ErrInvalid, "vault has no %s at %s; create it or correct auth.gcp.role", role, path)
	case r.says("no Google OAuth2 provider key found for GCE role") && !who.vouched:
		return a.errorf(providers.ErrInvalid, "vault %s at %s is for machines alone; create it with type=iam or correct auth.gcp.role", role, path)
	case r.says("expected JWT to have claims with GCE metadata"):
		return a.errorf(providers.ErrInvalid, "vault %s at %s is for machines alone, and Google vouches for none where the controller runs, as in a cluster of GKE with "+
			"workload identity; create it with type=iam and max_jwt_exp=1h, or correct auth.gcp.role", role, path)
	case r.says("does not allow GCE inference"):
		return a.errorf(providers.ErrInvalid, "vault %s at %s does not take machines; set allow_gce_inference in it or correct auth.gcp.role", role, path)
	case r.says("role requires that service account JWTs expire within"):
		return a.errorf(providers.ErrDenied, "vault %s at %s takes shorter tokens than that of %s alone; raise its max_jwt_exp to %s", role, path, who.name, who.tokenLife())
	case r.says("JWT is expired") || r.says("JWT must expire in"):
		return a.errorf(providers.ErrDenied, "vault at %s finds that the token of %s has expired or lasts too long; set the clock of the controller's node, or of vault's", path, who.name)
	case r.says("unable to get public key"), r.says("find service account"), r.says("find instance"), r.says("list instance"), r.says("failed to create"):
		return a.refusedByGoogle(path, r, who)
	case r.status == http.StatusForbidden:
		return a.errorf(providers.ErrDenied, "vault refuses the login of %s at %s: nothing is mounted there, or %s is bound to other addresses; "+
			"correct auth.gcp.path or the role's token_bound_cidrs", who.name, path, role)
	default:
		return a.errorf(providers.ErrDenied, "vault %s at %s refuses %s; check the role's bound_service_accounts and bound_projects and, for machines, "+
			"bound_zones, bound_regions, bound_labels and bound_instance_groups", role, path, who.name)
	}
}

// refusedByGoogle explains what Google has answered when Vault asked who logs in.
func (a api) refusedByGoogle(path string, r *reply, who googleCaller) error {
	machine, account := r.says("find instance") || r.says("list instance"), r.says("find service account")
	missing, role := "iam.serviceAccounts.get", "roles/iam.serviceAccountViewer"
	switch {
	case r.says("list instance"):
		missing, role = "compute.instanceGroups.list", "roles/compute.viewer"
	case machine:
		missing, role = "compute.instances.get", "roles/compute.viewer"
	}
	switch {
	case r.says("googleapi: Error 429"):
		return fmt.Errorf("%s: vault: google: %w", a.store, &providers.ThrottledError{})
	case r.says("failed to create"):
		return a.errorf(providers.ErrUnavailable, "vault has no usable credentials of its own for Google; write %s/config", path)
	case r.says("googleapi: Error 401"), r.says("cannot fetch token: 4"), r.says("invalid_grant"):
		return a.errorf(providers.ErrDenied, "google does not accept vault's own credentials; renew those in %s/config", path)
	case r.says("googleapi: Error 403") && (machine || account):
		return a.errorf(providers.ErrDenied, "google does not let vault look up who logs in: grant %s (%s) to the service account of the credentials in %s/config", missing, role, path)
	case r.says("googleapi: Error 404") && machine:
		return a.errorf(providers.ErrDenied, "google does not know the machine of the controller any more, or not in its zone")
	case r.says("googleapi: Error 404") && account:
		return a.errorf(providers.ErrDenied, "google does not know %s any more; make the service account again, or use another", who.name)
	case (r.says("not found at GET") || r.says("googleapi: Error 404")) && !who.vouched:
		return a.errorf(providers.ErrDenied, "google does not know the key with which the token of %s is signed: it was deleted, or the service account; make a new key", who.name)
	case r.says("has invalid status"), r.says("instance_creation_timestamp"):
		return a.errorf(providers.ErrDenied, "the machine of the controller does not run any more as far as Google knows")
	default:
		return a.errorf(providers.ErrUnavailable, "vault does not learn from Google who logs in at %s; let it reach Google, or check custom_endpoint in %s/config", path, path)
	}
}

// tokenLife is how long a token lives, as Vault's configuration spells it.
func (g googleCaller) tokenLife() string {
	if g.vouched {
		return "1h"
	}
	return "10m"
}
