package layers

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// product are the folders whose code runs in a cluster or on somebody's machine.
func product() []string {
	return []string{"api", "cmd", "controllers", "crypto", "internal", "plugins", "providers"}
}

// starters are the packages that start a program, load code or speak to a mail server: nothing of the product needs one.
func starters() []string {
	return []string{"os/exec", "plugin", "net/smtp", "C", "golang.org/x/sys/execabs"}
}

// startingCalls are the functions that do the same in packages that have honest uses too.
func startingCalls() map[string][]string {
	return map[string][]string{
		"os":      {"StartProcess"},
		"syscall": {"Exec", "ForkExec", "StartProcess", "Syscall", "Syscall6", "RawSyscall", "RawSyscall6"},
	}
}

// Programs returns a message for each place of the product's own code, tests not counted, that could start a program,
// and how many files it looked at.
func Programs(tree fs.FS) (messages []string, looked int, err error) {
	for _, room := range product() {
		err := fs.WalkDir(tree, room, func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				return nil
			}
			raw, err := fs.ReadFile(tree, name)
			if err != nil {
				return fmt.Errorf("read %s: %w", name, err)
			}
			looked++
			found, err := startsPrograms(name, raw)
			messages = append(messages, found...)
			return err
		})
		if err != nil {
			return nil, 0, err
		}
	}
	return messages, looked, nil
}

func startsPrograms(name string, raw []byte) ([]string, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, raw, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", name, err)
	}
	var messages []string
	calls := startingCalls()
	named := map[string]string{} // what the file calls the packages of calls
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", name, err)
		}
		if slices.Contains(starters(), imported) {
			messages = append(messages, fmt.Sprintf("%s imports %s", files.Position(spec.Pos()), imported))
		}
		if _, watched := calls[imported]; watched {
			local := path.Base(imported)
			if spec.Name != nil {
				local = spec.Name.Name
			}
			named[local] = imported
			if local == "." {
				messages = append(messages, fmt.Sprintf("%s imports %s without its name", files.Position(spec.Pos()), imported))
			}
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := selector.X.(*ast.Ident); ok && slices.Contains(calls[named[pkg.Name]], selector.Sel.Name) {
			messages = append(messages, fmt.Sprintf("%s uses %s.%s", files.Position(selector.Pos()), named[pkg.Name], selector.Sel.Name))
		}
		return true
	})
	return messages, nil
}
