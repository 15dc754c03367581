package docs_test

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// schema is as much of a definition's schema as matters here.
type schema struct {
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
	// AdditionalProperties is a schema or true.
	AdditionalProperties any   `json:"additionalProperties"`
	Enum                 []any `json:"enum"`
}

// definition returns the schema of a kind's first version.
func definition(t *testing.T, name string) schema {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "config", "crd", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema schema `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(raw, &crd); err != nil {
		t.Fatal(err)
	}
	return crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}

// fields calls visit with the path of each field below a schema, until it says that what is below a field does not matter.
func (s schema) fields(at string, visit func(path string) (deeper bool)) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		below := strings.TrimPrefix(at+"."+name, ".")
		if visit(below) {
			s.Properties[name].fields(below, visit)
		}
	}
	if s.Items != nil {
		s.Items.fields(at, visit)
	}
}

// words adds the names of all fields and the values of all enums to a set.
func (s schema) words(into map[string]bool) {
	for name, below := range s.Properties {
		into[name] = true
		below.words(into)
	}
	if s.Items != nil {
		s.Items.words(into)
	}
	for _, value := range s.Enum {
		if text, ok := value.(string); ok {
			into[text] = true
		}
	}
}

// below returns the schema of a field.
func (s schema) below(names ...string) schema {
	for _, name := range names {
		s = s.Properties[name]
	}
	return s
}

// page is a page that specifies fields.
type page struct {
	file   string
	schema schema
	// elsewhere are fields that others specify, or that the page refuses as a whole: what is below them is not named.
	elsewhere []string
}

// specified returns the pages under docs/spec and docs/providers that specify fields.
func specified(t *testing.T) []page {
	t.Helper()
	// A label selector is Kubernetes' own.
	selectors := []string{"spec.conditions.namespaceSelector", "spec.namespaceSelector", "spec.namespaceSelectors"}
	kind := func(file, crd string, elsewhere ...string) page {
		all := definition(t, crd)
		return page{file, schema{Properties: map[string]schema{"spec": all.below("spec"), "status": all.below("status")}}, append(elsewhere, selectors...)}
	}
	out := []page{
		kind("docs/spec/externalsecret.md", "external-secrets.io_externalsecrets"),
		kind("docs/spec/clusterexternalsecret.md", "external-secrets.io_clusterexternalsecrets", "spec.externalSecretSpec"),
		kind("docs/spec/secretstore.md", "external-secrets.io_secretstores", "spec.provider"),
		kind("docs/spec/secretstore.md", "external-secrets.io_clustersecretstores", "spec.provider"),
		kind("docs/spec/sealedsecret.md", "bitnami.com_sealedsecrets"),
		kind("docs/spec/gitsync.md", "sealbridge.dev_gitsyncs", "spec.verify", "spec.postBuild", "spec.healthCheckExprs", "spec.helm"),
	}
	providers := definition(t, "external-secrets.io_secretstores").below("spec", "provider")
	for _, name := range []string{"aws", "azurekv", "fake", "gcpsm", "kubernetes", "vault", "webhook"} {
		out = append(out, page{"docs/providers/" + name + ".md", providers.below(name), nil})
	}
	return out
}

var (
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	codeText = regexp.MustCompile("(?s)```.*?```")
	word     = regexp.MustCompile(`[A-Za-z][A-Za-z0-9]*`)
)

// codeWords are the words that stand in a text as code.
func codeWords(text string) map[string]bool {
	out := map[string]bool{}
	for _, block := range codeText.FindAllString(text, -1) {
		for _, w := range word.FindAllString(block, -1) {
			out[w] = true
		}
	}
	for _, m := range codeSpan.FindAllStringSubmatch(codeText.ReplaceAllString(text, ""), -1) {
		for _, w := range word.FindAllString(m[1], -1) {
			out[w] = true
		}
	}
	return out
}

// table is one of a page: its heading and its rows, cell by cell.
type table struct {
	head []string
	rows [][]string
}

func tables(text string) []table {
	var out []table
	open := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			open = false
			continue
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), " | ") {
			cells = append(cells, strings.Trim(cell, " |"))
		}
		switch {
		case !open:
			out, open = append(out, table{head: cells}), true
		case strings.Trim(line, "|-: ") != "":
			out[len(out)-1].rows = append(out[len(out)-1].rows, cells)
		}
	}
	return out
}

func TestEveryFieldOfAKindIsInThePageThatSpecifiesIt(t *testing.T) {
	t.Parallel()
	texts, looked := pages(t), 0
	for _, p := range specified(t) {
		stated := codeWords(texts[p.file])
		p.schema.fields("", func(field string) bool {
			looked++
			if name := path.Ext("." + field)[1:]; !stated[name] && field != "spec" && field != "status" {
				t.Errorf("%s does not say what %s is", p.file, field)
			}
			return !slices.Contains(p.elsewhere, field)
		})
	}
	if looked < 250 {
		t.Errorf("looked at %d fields: the check would say nothing", looked)
	}
}

// TestEveryFieldThatAPageSpecifiesExists looks at the first cells of the tables of fields.
func TestEveryFieldThatAPageSpecifiesExists(t *testing.T) {
	t.Parallel()
	texts, looked := pages(t), 0
	for _, p := range specified(t) {
		known := map[string]bool{}
		p.schema.words(known)
		for _, table := range tables(texts[p.file]) {
			if !strings.EqualFold(table.head[0], "field") {
				continue
			}
			for _, row := range table.rows {
				for w := range codeWords(row[0]) {
					looked++
					if !known[w] {
						t.Errorf("%s: there is no %s (%s)", p.file, w, row[0])
					}
				}
			}
		}
	}
	if looked < 100 {
		t.Errorf("looked at %d names: the check would say nothing", looked)
	}
}

// reasons returns the texts of the constants of a package whose names begin with Reason or Condition, by name.
func reasons(t *testing.T, folder string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, name := range spec.Names {
				said := strings.HasPrefix(name.Name, "Reason") || strings.HasPrefix(name.Name, "Condition")
				if !said || i >= len(spec.Values) {
					continue
				}
				if text, ok := spec.Values[i].(*ast.BasicLit); ok && text.Kind == token.STRING {
					out[name.Name] = constant.StringVal(constant.MakeFromLiteral(text.Value, token.STRING, 0))
				}
			}
			return true
		})
	}
	return out
}

const module = "github.com/sealbridge/sealbridge/"

// said returns the texts of the constants of package api, and of the engine, that the code of a controller uses.
func said(t *testing.T, controller, api string) map[string]bool {
	t.Helper()
	from := map[string]map[string]string{module + api: reasons(t, api), module + "controllers/flow": reasons(t, "controllers/flow")}
	out := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(root, "controllers", controller), func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		constants := map[string]map[string]string{}
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			alias := path.Base(imported)
			if spec.Name != nil {
				alias = spec.Name.Name
			}
			constants[alias] = from[imported]
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := sel.X.(*ast.Ident); ok && constants[pkg.Name][sel.Sel.Name] != "" {
					out[constants[pkg.Name][sel.Sel.Name]] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryConditionAndReasonThatAControllerGivesIsInThePageOfItsKind(t *testing.T) {
	t.Parallel()
	texts, looked := pages(t), 0
	for controller, kind := range map[string]struct{ page, api string }{
		"externalsecret":        {"externalsecret", "api/externalsecrets/v1"},
		"clusterexternalsecret": {"clusterexternalsecret", "api/externalsecrets/v1"},
		"secretstore":           {"secretstore", "api/externalsecrets/v1"},
		"sealedsecret":          {"sealedsecret", "api/sealedsecrets/v1alpha1"},
		"gitsync":               {"gitsync", "api/sealbridge/v1alpha1"},
	} {
		file := "docs/spec/" + kind.page + ".md"
		stated, given := codeWords(texts[file]), said(t, controller, kind.api)
		for reason := range given {
			looked++
			if !stated[reason] {
				t.Errorf("%s does not say what %s means", file, reason)
			}
		}
		classes := reasons(t, "controllers/flow")
		for _, table := range tables(texts[file]) {
			column := slices.IndexFunc(table.head, func(h string) bool { return strings.HasPrefix(strings.ToLower(h), "reason") })
			if column < 0 {
				continue
			}
			for _, row := range table.rows {
				for reason := range codeWords(row[column]) {
					looked++
					if !given[reason] && !slices.Contains(slices.Collect(maps.Values(classes)), reason) {
						t.Errorf("%s: no object has the reason %s", file, reason)
					}
				}
			}
		}
	}
	if looked < 80 {
		t.Errorf("looked at %d reasons: the check would say nothing", looked)
	}
}

// TestEveryBehaviourThatIsComparedNamesItsTest: a row of the tables of behaviours, faults and bad input without a test is a
// claim. What does not exist here needs none.
func TestEveryBehaviourThatIsComparedNamesItsTest(t *testing.T) {
	t.Parallel()
	texts, looked := pages(t), 0
	for _, file := range []string{"docs/compatibility.md", "docs/threat-model.md"} {
		for _, table := range tables(texts[file]) {
			if table.head[len(table.head)-1] != "test" {
				continue
			}
			for _, row := range table.rows {
				if heading := strings.HasPrefix(row[0], "**"); heading || slices.Contains(row, "no receiver") {
					continue
				}
				looked++
				if !test.MatchString(row[len(row)-1]) {
					t.Errorf("%s: no test shows %q", file, row[0])
				}
			}
		}
	}
	if looked < 200 {
		t.Errorf("looked at %d rows: the check would say nothing", looked)
	}
}
