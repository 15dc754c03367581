package layers

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// lookingCalls are the functions by which code finds an identity that nobody gave it, by the package: the prefixes of their names.
func lookingCalls() map[string][]string {
	return map[string][]string{
		"os":                                  {"Getenv", "LookupEnv", "Environ", "ExpandEnv", "ReadFile", "Open", "DirFS", "ReadDir", "UserHomeDir"},
		"github.com/aws/aws-sdk-go-v2/config": {"Load", "New"},
		"github.com/aws/aws-sdk-go-v2/feature/ec2/imds":        {""},
		"github.com/Azure/azure-sdk-for-go/sdk/azidentity":     {"NewManaged", "NewDefault", "NewWorkload", "NewEnvironment", "NewAzure", "NewInteractive", "NewDevice"},
		"cloud.google.com/go/auth/credentials":                 {"DetectDefault"},
		"cloud.google.com/go/compute/metadata":                 {"New", "Get", "Subscribe", "OnGCE"},
		"golang.org/x/oauth2/google":                           {""},
		"k8s.io/client-go/rest":                                {"InCluster"},
		"k8s.io/client-go/tools/clientcmd":                     {""},
		"cloud.google.com/go/auth/credentials/externalaccount": {"New"},
	}
}

// Around returns the places of the providers' own code, tests not counted, that look for an identity around the process, as
// "<file> <package>.<function>", each once and in order, and the modules of others that the providers import.
func Around(tree fs.FS) (places, modules []string, err error) {
	found, imports := map[string]bool{}, map[string]bool{}
	err = fs.WalkDir(tree, "providers", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "providertest":
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		raw, err := fs.ReadFile(tree, name)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, raw, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("parse %s: %w", name, err)
		}
		looksAround(name, file, found, imports)
		return nil
	})
	return slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(imports)), err
}

func looksAround(name string, file *ast.File, found, modules map[string]bool) {
	named := map[string]string{} // what the file calls its packages
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has looked
		}
		if module := moduleOf(imported); module != "" {
			modules[module] = true
		}
		local := path.Base(imported)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		if named[local] = imported; local == "." {
			found[name+" "+imported+" without its name"] = true
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := selector.X.(*ast.Ident)
		if !ok {
			return true
		}
		for _, prefix := range lookingCalls()[named[pkg.Name]] {
			if strings.HasPrefix(selector.Sel.Name, prefix) {
				found[name+" "+path.Base(named[pkg.Name])+"."+selector.Sel.Name] = true
			}
		}
		return true
	})
}

// moduleOf returns the first parts of the path of a package of others, which name its project; empty for ours and the standard
// library's.
func moduleOf(imported string) string {
	parts := strings.Split(imported, "/")
	if !strings.Contains(parts[0], ".") || strings.HasPrefix(imported, Module+"/") {
		return ""
	}
	length := 2
	if parts[0] == "github.com" || parts[0] == "golang.org" {
		length = 3
	}
	return strings.Join(parts[:min(len(parts), length)], "/")
}
