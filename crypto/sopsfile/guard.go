package sopsfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/getsops/sops/v3"
	"go.yaml.in/yaml/v3"
)

// What one document may cost. The library recurses over the document, compiles a rule's pattern again for every element
// of every value's path, and unfolds YAML aliases without a bound; whoever can write to a repository chooses all three.
const (
	maxDepth        = 100
	maxItems        = 100_000
	maxPattern      = 256
	maxPatternSteps = 100_000
	maxComments     = 300
)

// checkText refuses what the stores must not be given at all.
func checkText(format Format, doc []byte) error {
	switch format {
	case YAML:
		return checkYAML(doc)
	case JSON, Binary:
		// The store takes the first of several values and a truncated object for a whole one, and recurses without a
		// bound; encoding/json does none of that.
		if !json.Valid(doc) {
			return fmt.Errorf("%w: it is not valid JSON", ErrMalformed)
		}
	case Dotenv, INI:
	}
	return nil
}

func checkYAML(doc []byte) error {
	decoder := yaml.NewDecoder(bytes.NewReader(doc))
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: it is not valid YAML", ErrMalformed)
		}
		if hasAlias(&node) {
			// SOPS writes none: it unfolds them before it encrypts.
			return fmt.Errorf("%w: it uses YAML aliases, which SOPS never writes", ErrMalformed)
		}
	}
}

func hasAlias(node *yaml.Node) bool {
	if node.Kind == yaml.AliasNode {
		return true
	}
	for _, child := range node.Content {
		if hasAlias(child) {
			return true
		}
	}
	return false
}

// census is what a tree holds, as far as it costs.
type census struct {
	items, steps, comments int
	deep, double           bool
	unique                 bool
}

// checkTree bounds the work that decrypting the tree takes and refuses rules that SOPS itself would silently ignore.
func checkTree(format Format, tree *sops.Tree) error {
	count := census{unique: format == YAML || format == JSON || format == Binary}
	for _, branch := range tree.Branches {
		count.branch(branch, 1)
	}
	switch {
	case count.deep:
		return fmt.Errorf("%w: it is nested deeper than %d levels", ErrMalformed, maxDepth)
	case count.items > maxItems:
		return fmt.Errorf("%w: it has more than %d values", ErrMalformed, maxItems)
	case count.double:
		return fmt.Errorf("%w: it has a key twice in one mapping", ErrMalformed)
	}
	m := &tree.Metadata
	for _, pattern := range []string{m.EncryptedRegex, m.UnencryptedRegex, m.EncryptedCommentRegex, m.UnencryptedCommentRegex} {
		if pattern == "" {
			continue
		}
		if _, err := regexp.Compile(pattern); err != nil || len(pattern) > maxPattern {
			// SOPS takes a pattern that it cannot compile for one that matches nothing.
			return fmt.Errorf("%w: the pattern that chooses what is encrypted is not valid or longer than %d characters", ErrMalformed, maxPattern)
		}
		if count.steps > maxPatternSteps {
			return fmt.Errorf("%w: it has too many values for a pattern that chooses what is encrypted", ErrMalformed)
		}
	}
	if m.EncryptedCommentRegex+m.UnencryptedCommentRegex != "" && count.comments > maxComments {
		return fmt.Errorf("%w: it has too many comments for a pattern of comments", ErrMalformed)
	}
	return nil
}

func (c *census) branch(branch sops.TreeBranch, depth int) {
	if depth > maxDepth {
		c.deep = true
		return
	}
	seen := make(map[any]bool, len(branch))
	for _, item := range branch {
		if _, ok := item.Key.(sops.Comment); ok {
			c.comments++
			continue
		}
		if key, ok := item.Key.(string); ok && c.unique {
			c.double = c.double || seen[key]
			seen[key] = true
		}
		c.value(item.Value, depth)
	}
}

func (c *census) value(value any, depth int) {
	c.items++
	c.steps += depth
	switch value := value.(type) {
	case sops.TreeBranch:
		c.branch(value, depth+1)
	case []any:
		if depth > maxDepth {
			c.deep = true
			return
		}
		for _, item := range value {
			c.value(item, depth+1)
		}
	case sops.Comment:
		c.comments++
	}
}

// hidePlainComments empties the comments that are not encrypted, because the library logs the text of each one that it
// cannot decrypt; the function that it returns puts them back. Comments are not part of the MAC. With a rule about
// comments their text decides what is encrypted, so they stay.
func hidePlainComments(tree *sops.Tree) (restore func()) {
	m := &tree.Metadata
	if m.EncryptedCommentRegex+m.UnencryptedCommentRegex != "" {
		return func() {}
	}
	var undo []func()
	var visit func(value any)
	hide := func(comment sops.Comment, set func(sops.Comment)) {
		if comment.Value != "" && !strings.HasPrefix(comment.Value, "ENC[") {
			set(sops.Comment{Inline: comment.Inline})
			undo = append(undo, func() { set(comment) })
		}
	}
	visit = func(value any) {
		switch value := value.(type) {
		case sops.TreeBranch:
			for i := range value {
				if comment, ok := value[i].Key.(sops.Comment); ok {
					hide(comment, func(c sops.Comment) { value[i].Key = c })
				}
				visit(value[i].Value)
			}
		case []any:
			for i := range value {
				if comment, ok := value[i].(sops.Comment); ok {
					hide(comment, func(c sops.Comment) { value[i] = c })
				}
				visit(value[i])
			}
		}
	}
	for _, branch := range tree.Branches {
		visit(branch)
	}
	return func() {
		for _, f := range undo {
			f()
		}
	}
}
