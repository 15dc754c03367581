package source

import (
	"maps"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"

	"github.com/sealbridge/sealbridge/providers"
)

const (
	branches = "refs/heads/"
	tags     = "refs/tags/"
)

// choose finds the commit that ref stands for among the references that the server announced.
func choose(adv *packp.AdvRefs, ref Ref) (Revision, error) {
	switch {
	case ref.Commit != "":
		return bareCommit(ref)
	case ref.Name != "":
		return byName(adv, ref.Name, ref.Name, "reference")
	case ref.SemVer != "":
		return highest(adv, ref.SemVer)
	case ref.Tag != "":
		return byName(adv, tags+ref.Tag, ref.Tag, "tag")
	case ref.Branch != "":
		return byName(adv, branches+ref.Branch, ref.Branch, "branch")
	default:
		return head(adv)
	}
}

func bareCommit(ref Ref) (Revision, error) {
	commit := strings.ToLower(ref.Commit)
	if !fullHash.MatchString(commit) {
		return Revision{}, providers.Errorf(providers.ErrInvalid, "spec.ref.commit is not a full SHA-1 of 40 hexadecimal digits")
	}
	return Revision{Ref: ref.Branch, Commit: commit}, nil
}

func byName(adv *packp.AdvRefs, full, short, kind string) (Revision, error) {
	hash, ok := commitOf(adv, full)
	if !ok {
		return Revision{}, providers.Errorf(providers.ErrNotFound, "%s %q not found in the repository", kind, short)
	}
	return Revision{Ref: short, Commit: hash.String()}, nil
}

// commitOf follows an annotated tag to its commit: the server announces both.
func commitOf(adv *packp.AdvRefs, full string) (plumbing.Hash, bool) {
	if hash, ok := adv.Peeled[full]; ok {
		return hash, true
	}
	hash, ok := adv.References[full]
	return hash, ok
}

// highest takes the highest version in a range. Tags that are not versions do not count; of two tags for the same version
// ("v1.0.0" and "1.0.0") the one that sorts last counts, so that the choice is stable.
func highest(adv *packp.AdvRefs, expression string) (Revision, error) {
	constraint, err := semver.NewConstraint(expression)
	if err != nil {
		return Revision{}, providers.Errorf(providers.ErrInvalid, "spec.ref.semver is not a range of versions")
	}
	var best *semver.Version
	var tag string
	for _, full := range slices.Sorted(maps.Keys(adv.References)) {
		name, ok := strings.CutPrefix(full, tags)
		if !ok {
			continue
		}
		version, err := semver.NewVersion(name)
		if err != nil || !constraint.Check(version) {
			continue
		}
		if best == nil || !version.LessThan(best) {
			best, tag = version, name
		}
	}
	if best == nil {
		return Revision{}, providers.Errorf(providers.ErrNotFound, "no tag of the repository is in the range of spec.ref.semver")
	}
	return byName(adv, tags+tag, tag, "tag")
}

// head resolves the remote's HEAD and, where the server says it, the branch that HEAD names.
func head(adv *packp.AdvRefs) (Revision, error) {
	if adv.Head == nil {
		return Revision{}, providers.Errorf(providers.ErrNotFound,
			"the repository's HEAD names a branch that does not exist; set spec.ref.branch")
	}
	for _, symref := range adv.Capabilities.Get(capability.SymRef) {
		if target, ok := strings.CutPrefix(symref, "HEAD:"); ok {
			return Revision{Ref: strings.TrimPrefix(target, branches), Commit: adv.Head.String()}, nil
		}
	}
	return Revision{Ref: "HEAD", Commit: adv.Head.String()}, nil
}
