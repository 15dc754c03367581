package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode/utf16"
)

// alone runs a command line in the process, without an environment.
func alone(t *testing.T, stdin string, args ...string) (code int, said string) {
	t.Helper()
	var out bytes.Buffer
	code = run(t.Context(), append([]string{"sealbridge"}, args...), host{
		stdin: strings.NewReader(stdin), stdout: &out, stderr: &out, env: func(string) (string, bool) { return "", false },
	})
	return code, out.String()
}

// sealedFile writes a SealedSecret and returns its path.
func sealedFile(t *testing.T, s sides, dir, name string) string {
	t.Helper()
	sealed, stderr, ok := s.ours(t, "metadata: {name: db, namespace: ns}\nstringData: {k: v}\n", "--cert", s.cert, "-o", "yaml")
	if !ok {
		t.Fatal(stderr)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(sealed), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Most of the time of a rewrap goes into writing, so that Ctrl-C mostly comes while a file is replaced.
func TestCtrlCLeavesWholeFilesAndNoOthers(t *testing.T) {
	t.Parallel()
	s, dir := newSides(t), t.TempDir()
	text, err := os.ReadFile(sealedFile(t, s, dir, "0.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	const files, runs = 100, 12
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, strings.Repeat("x", i+1)+".yaml"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	self, err := exec.LookPath("sealbridge") // what TestMain has put there
	if err != nil {
		t.Fatal(err)
	}
	for ended, tries := 0, 0; ended < runs; tries++ {
		if tries == 20*runs {
			t.Fatalf("the signal has ended %d of %d", ended, tries)
		}
		cmd := exec.CommandContext(t.Context(), self, "rewrap", "--force", "--recovery-private-key", s.key, "--cert", s.cert, dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range ended + 1 {
			lines.Scan()
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // to the end, so that nothing waits for us
		}
		err = cmd.Wait()
		if err == nil {
			continue // on a machine that is busy it can be done before the signal comes
		}
		var by *exec.ExitError
		if !errors.As(err, &by) || by.ExitCode() != -1 {
			t.Fatalf("it was not ended by the signal: %v", err)
		}
		ended++
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != files+1 {
		t.Fatalf("%d files are left of %d: %v", len(left), files+1, err)
	}
	for _, file := range left {
		if out := ours(t, "", "edit", "--open", "--recovery-private-key", s.key, filepath.Join(dir, file.Name()), "k"); out != "v" {
			t.Errorf("%s does not open", file.Name())
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestAReportThatCannotBeWrittenIsAnError(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	path := sealedFile(t, s, t.TempDir(), "db.yaml")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	code := run(t.Context(), []string{"sealbridge", "rewrap", "--force", "--recovery-private-key", s.key, "--cert", s.cert, path}, host{
		stdout: full{}, stderr: &errs, env: func(string) (string, bool) { return "", false },
	})
	after, err := os.ReadFile(path)
	if err != nil || bytes.Equal(before, after) {
		t.Errorf("the file was not sealed anew: %v", err)
	}
	if code != 1 || !strings.HasPrefix(errs.String(), "error: write the output: no space left on device\nhint: ") {
		t.Errorf("%d: %s", code, errs.String())
	}
}

// A path that is longer than the system takes cannot be read by anybody.
func TestAFolderThatCannotBeReadHoldsUpNoFile(t *testing.T) {
	t.Parallel()
	s, dir := newSides(t), t.TempDir()
	sealedFile(t, s, dir, "z.yaml")
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("d", 200)
	for range 22 {
		if err := root.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
		below, err := root.OpenRoot(name)
		if err != nil {
			t.Fatal(err)
		}
		_ = root.Close()
		root = below
	}
	_ = root.Close()
	if code, said := alone(t, "", "lint", dir); code != 1 || !strings.Contains(said, ": error: the folder cannot be read: ") || !strings.Contains(said, "1 errors and 0 warnings in 1 files") {
		t.Errorf("lint: %d %s", code, said)
	}
	code, said := alone(t, "", "rewrap", "--force", "--recovery-private-key", s.key, "--cert", s.cert, dir)
	if code != 1 || !strings.Contains(said, ": failed: the folder cannot be read: ") || !strings.Contains(said, "\n  hint: check its permissions\n") || !strings.Contains(said, "ns/db: 1 of 1 values") {
		t.Errorf("rewrap: %d %s", code, said)
	}
}

func TestAValueThatWasGivenAsAnArgumentIsNotRepeated(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	path := sealedFile(t, s, t.TempDir(), "db.yaml")
	for _, args := range [][]string{
		{"set", path, "k=" + canary, "--cert", s.cert}, {"set", path, "k", canary}, {"edit", path, "k=" + canary}, {"unset", path, "k=" + canary},
		{"seal", "--raw", canary}, {"seal", canary, "--raw", "--name", "db"},
	} {
		if code, said := alone(t, "v", args...); code != 2 || strings.Contains(said, canary) || !strings.Contains(said, "other users can read arguments") {
			t.Errorf("%v: %d %s", args, code, said)
		}
	}
}

func TestWhatAWebServerAnswersIsSaidWithWhereAndWhatToDo(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	certificate, err := os.ReadFile(s.cert)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/cert", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(certificate) })
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "9999")
		_, _ = w.Write(certificate)
	})
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxFile+1)) })
	server := httptest.NewServer(mux)
	defer server.Close()
	const secret = "metadata: {name: db, namespace: ns}\nstringData: {k: v}\n"
	for path, want := range map[string]string{
		"/short": `": the connection was closed in the middle of the answer` + "\nhint: check the URL and the network, or give --cert a file\n",
		"/huge":  `": the answer has over 16777216 bytes` + "\nhint: check the URL, or give --cert a file\n",
	} {
		if code, said := alone(t, secret, "seal", "--cert", server.URL+path); code != 1 || said != `error: cannot fetch "`+server.URL+path+want {
			t.Errorf("%s: %d %s", path, code, said)
		}
	}
	// kubeseal reads the scheme as RFC 3986 does.
	if code, said := alone(t, secret, "seal", "--cert", strings.Replace(server.URL, "http", "HTTP", 1)+"/cert"); code != 0 {
		t.Errorf("a scheme in capitals: %s", said)
	}
	if code, said := alone(t, "", "lint", "--cert", server.URL+"/cert", s.cert); code != 2 || !strings.Contains(said, "--cert of lint takes a file, not a URL") {
		t.Errorf("lint: %d %s", code, said)
	}
}

func TestAClusterThatIsNotThereIsNotTakenForMissingRights(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "kubeconfig")
	const text = `{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}],
contexts: [{name: c, context: {cluster: c}}, {name: broken, context: {cluster: gone}}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	const secret = "metadata: {name: db, namespace: ns}\nstringData: {k: v}\n"
	for want, args := range map[string][]string{
		"hint: the cluster does not answer: ":             {},
		`error: the kubeconfig has no cluster "gone"`:     {"--context", "broken"},
		`error: the kubeconfig has no cluster "unheard"`:  {"--cluster", "unheard"},
		`error: the kubeconfig has no context "unheard-"`: {"--context", "unheard-"},
	} {
		for _, command := range [][]string{{"seal"}, {"keys", "list"}, {"rewrap", dir}} {
			all := append(append(command, "--kubeconfig", path), args...)
			if code, said := alone(t, secret, all...); code != 1 || !strings.Contains(said, want) {
				t.Errorf("%v: %d %s", all, code, said)
			}
		}
	}
}

func TestALoginOrAnAuthorityThatIsWrongIsNotTakenForANetworkThatIsDown(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	for want, parts := range map[string][2]string{
		"hint: check the certificate-authority of the kubeconfig's cluster": {"", "{}"},
		"hint: the login of the kubeconfig's user failed: ": {"insecure-skip-tls-verify: true, ",
			"{exec: {apiVersion: client.authentication.k8s.io/v1, command: /no/such/login, interactiveMode: Never}}"},
	} {
		path := filepath.Join(t.TempDir(), "kubeconfig")
		text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {%sserver: %q}}],
contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: %s}]}`, parts[0], server.URL, parts[1])
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range [][]string{{"seal", "--fetch-cert"}, {"keys", "list"}} {
			if code, said := alone(t, "", append(command, "--kubeconfig", path)...); code != 1 || !strings.Contains(said, want) {
				t.Errorf("%v: %d %s", command, code, said)
			}
		}
	}
}

func TestAPlainSecretThatCouldNotBeWrittenWholeIsNotLeft(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "plain.yaml")
	if err := writeNew(path, []byte(canary), 0o600, nil); err != nil {
		t.Fatal(err)
	}
	if err := createPrivateFile(path, []byte("other")); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a file that exists was replaced: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != canary {
		t.Errorf("a file that exists was touched: %v", err)
	}
	self, err := exec.LookPath("sealbridge")
	if err != nil {
		t.Fatal(err)
	}
	s := newSides(t)
	dir := t.TempDir()
	sealed := sealedFile(t, s, dir, "db.yaml")
	// No file may have a byte, as on a disk that is full.
	cmd := exec.CommandContext(t.Context(), "bash", "-c", `ulimit -f 0; exec "$@"`, "-", self, "seal", "--recovery-unseal", "--recovery-private-key", s.key, "-f", sealed, "-w", filepath.Join(dir, "plain.yaml"))
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "hint: no file was left") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "plain.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a part of the file was left: %v", err)
	}
}

func TestAResultThatCannotBeWrittenIsAnErrorWithACure(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	path := sealedFile(t, s, t.TempDir(), "db.yaml")
	for _, args := range [][]string{
		{"kubeseal", "--cert", s.cert, "--fetch-cert"},
		{"sealbridge", "edit", path, "k", "--open", "--recovery-private-key", s.key},
		{"sealbridge", "lint", path},
		{"sealbridge", "lint", "--format", "json", path},
		{"sealbridge", "version"},
		{"kubeseal", "--version"},
	} {
		var errs bytes.Buffer
		code := run(t.Context(), args, host{stdout: full{}, stderr: &errs, env: func(string) (string, bool) { return "", false }})
		if code != 1 || !strings.HasSuffix(errs.String(), "error: write the output: no space left on device\nhint: run the command again where its output has room\n") {
			t.Errorf("%q: %d: %s", args, code, errs.String())
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	var errs bytes.Buffer
	code := run(t.Context(), []string{"kubeseal", "--cert", s.cert, "--fetch-cert", "-w", "/dev/full"}, host{stderr: &errs, env: func(string) (string, bool) { return "", false }})
	if code != 1 || !strings.HasPrefix(errs.String(), "error: write /dev/full: no space left on device\nhint: ") {
		t.Errorf("a device: %d: %s", code, errs.String())
	}
}

// PowerShell's > writes UTF-16 with a byte order mark, its Out-File -Encoding utf8 UTF-8 with one.
func TestACertificateAndAKeyThatPowerShellSavedAreRead(t *testing.T) {
	t.Parallel()
	s, dir := newSides(t), t.TempDir()
	path := sealedFile(t, s, dir, "db.yaml")
	for name, encode := range map[string]func(text []byte) []byte{
		"a byte order mark": func(text []byte) []byte { return append([]byte("\ufeff"), text...) },
		"UTF-16": func(text []byte) []byte {
			out := []byte{0xff, 0xfe}
			for _, unit := range utf16.Encode([]rune(string(text))) {
				out = append(out, byte(unit), byte(unit>>8))
			}
			return out
		},
	} {
		files := map[string]string{}
		for _, from := range []string{s.cert, s.key} {
			text, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			files[from] = filepath.Join(dir, filepath.Base(from))
			if err := os.WriteFile(files[from], encode(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, args := range [][]string{
			{"rewrap", "--force", "--recovery-private-key", files[s.key], "--cert", files[s.cert], path},
			{"lint", "--cert", files[s.cert], path},
		} {
			var errs bytes.Buffer
			if code := run(t.Context(), append([]string{"sealbridge"}, args...), host{stdout: io.Discard, stderr: &errs, env: func(string) (string, bool) { return "", false }}); code != 0 {
				t.Errorf("%s, %s: %d: %s", name, args[0], code, errs.String())
			}
		}
	}
}

// What is sealed is no secret: a new file is as readable as any other that the user makes.
func TestANewFileHasTheModeThatOthersHave(t *testing.T) {
	t.Parallel()
	s, dir := newSides(t), t.TempDir()
	other, sealed := filepath.Join(dir, "other"), filepath.Join(dir, "sealed.yaml")
	if err := os.WriteFile(other, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr, ok := s.ours(t, "metadata: {name: db, namespace: ns}\nstringData: {k: v}\n", "--cert", s.cert, "-w", sealed); !ok {
		t.Fatal(stderr)
	}
	want, err := os.Stat(other)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.Stat(sealed); err != nil || got.Mode() != want.Mode() {
		t.Errorf("%v, %v", got, err)
	}
}
