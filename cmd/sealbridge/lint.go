package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/internal/lint"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

type lintFlags struct {
	cert   string
	format string
	strict bool
}

func newLint(h host) *cobra.Command {
	f := &lintFlags{}
	cmd := &cobra.Command{
		Use:   "lint PATH...",
		Short: "Find plaintext, broken and mixed secrets in files, without a cluster",
		Long: "Looks at YAML, JSON, .env and .ini files, and at every file that is named, for SealedSecrets that cannot open, Secrets and SOPS\n" +
			"files with plain values, mixed recipients and private keys. It needs no key and no network and shows no value.\n" +
			"Which certificate a value was sealed to shows only in its size and, for some values, in their number: --cert finds some that\n" +
			"were sealed to another one, and never shows that none was.\n" +
			"Exit code 0: no error was found; 1: errors were found; 2: the command line makes no sense.",
		Example:       "  sealbridge lint .\n  sealbridge lint --cert cert.pem -o json clusters/prod | jq -r '.findings[].file'",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("sealbridge lint . looks at everything below here", "lint takes files and folders")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return runLint(f, h, args) },
	}
	cmd.SetFlagErrorFunc(badFlag)
	fs := cmd.Flags()
	fs.StringVar(&f.cert, "cert", "", "file with the certificate of the cluster, to which compat values must be sealed")
	fs.StringVarP(&f.format, "format", "o", "text", "output format, text or json")
	fs.BoolVar(&f.strict, "strict", false, "fail for warnings too")
	return cmd
}

// errFound is what lint ends with when it has found something. The findings are the message.
type errFound struct{ errors, warnings, files int }

func (e *errFound) Error() string {
	return fmt.Sprintf("%d errors and %d warnings in %d files", e.errors, e.warnings, e.files)
}

func runLint(f *lintFlags, h host, paths []string) error {
	if f.format != "text" && f.format != "json" {
		return usage("use text or json", "unsupported output format: %s", f.format)
	}
	options := lint.Options{Now: time.Now()}
	var findings []lint.Finding
	if f.cert != "" {
		if strings.Contains(f.cert, "://") {
			return usage("lint asks no network: fetch the certificate first, and give its file", "--cert of lint takes a file, not a URL")
		}
		text, err := readFile(f.cert)
		if err != nil {
			return err
		}
		certificate, err := keyring.ParseCertificate(withoutMarks(text))
		if err != nil {
			return inFile(f.cert, certificateError(err, f.cert))
		}
		options.Certificate = &lint.Certificate{Key: certificate.Key, NotAfter: certificate.NotAfter}
		findings = lint.CheckCertificate(f.cert, options)
	}
	files, closed, err := walk(paths, ".yaml", ".yml", ".json", ".env", ".ini")
	if err != nil {
		return err
	}
	for _, folder := range closed {
		findings = append(findings, unread(folder.path, lint.Error, "the folder cannot be read: "+cause(folder.err).Error(), "check its permissions"))
	}
	for _, path := range files {
		data, err := readFile(path)
		switch {
		case errors.Is(err, errTooLarge):
			findings = append(findings, unread(path, lint.Warning, "the file is larger than is looked at", "split it, or look at it yourself"))
		case err != nil:
			findings = append(findings, unread(path, lint.Error, err.Error(), "check its permissions"))
		default:
			findings = append(findings, lint.File(path, data, options)...)
		}
	}
	found := &errFound{files: len(files)}
	for _, x := range findings {
		if x.Severity == lint.Error {
			found.errors++
		} else {
			found.warnings++
		}
	}
	if err := printFindings(f, h, findings, found); err != nil {
		return err
	}
	if found.errors > 0 || f.strict && found.warnings > 0 {
		return found
	}
	return nil
}

// unread is what is said of a file that could not be looked at; the others are.
func unread(path string, severity lint.Severity, problem, hint string) lint.Finding {
	return lint.Finding{File: path, Line: 1, Severity: severity, Check: "unreadable", Problem: problem, Hint: hint}
}

func printFindings(f *lintFlags, h host, findings []lint.Finding, found *errFound) error {
	var out bytes.Buffer
	if f.format == "json" {
		if findings == nil {
			findings = []lint.Finding{}
		}
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(struct {
			Files    int            `json:"files"`
			Errors   int            `json:"errors"`
			Warnings int            `json:"warnings"`
			Findings []lint.Finding `json:"findings"`
		}{found.files, found.errors, found.warnings, findings}); err != nil {
			return err
		}
		return h.output(out.Bytes())
	}
	for _, x := range findings {
		object := ""
		if x.Object != "" {
			object = x.Object + ": "
		}
		fmt.Fprintf(&out, "%s:%d: %s: %s%s [%s]\n  hint: %s\n", x.File, x.Line, x.Severity, object, x.Problem, x.Check, x.Hint)
	}
	return h.output(out.Bytes())
}

// walk returns the files that are named, and those below the folders that are named that have one of the extensions, in
// the order of their paths, and the folders that cannot be read. Folders that begin with a dot, which are tools' own, and links
// are not followed.
func walk(paths []string, extensions ...string) (out []string, closed []closedFolder, err error) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, nil, &sealing.Error{Problem: err.Error(), Hint: "check the path", Cause: err}
		}
		if !info.IsDir() {
			out = append(out, path)
			continue
		}
		err = filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				closed = append(closed, closedFolder{at, err})
				return nil //nolint:nilerr // it is noted, and what is beside it can be read
			case d.IsDir() && at != path && strings.HasPrefix(d.Name(), "."):
				return filepath.SkipDir
			case !d.Type().IsRegular():
				return nil
			}
			if slices.Contains(extensions, filepath.Ext(at)) {
				out = append(out, at)
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return out, closed, nil
}

// closedFolder is one that cannot be read; what is beside it can.
type closedFolder struct {
	path string
	err  error
}
