package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/spf13/cobra"

	"github.com/sealbridge/sealbridge/internal/sealing"
	"github.com/sealbridge/sealbridge/internal/sealingkeys"
)

type keysFlags struct {
	clusterFlags

	format string
	to     []string
	file   string
	output string
	force  bool
	legacy string
}

type keysRun struct {
	connection

	flags *keysFlags
}

func newKeys(ctx context.Context, h host) *cobra.Command {
	root := &cobra.Command{
		Use: "keys", Short: "List, back up and retire the sealing keys of a cluster",
		Long:         "The commands read Secrets in --controller-namespace, and list needs SealedSecrets of all namespaces too.",
		SilenceUsage: true, SilenceErrors: true, Args: noArguments("see sealbridge keys --help for the commands"),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	add := func(use, short, long, example string, args cobra.PositionalArgs, act func(*keysRun, context.Context, []string) error) (*cobra.Command, *keysFlags) {
		f := &keysFlags{}
		cmd := &cobra.Command{
			Use: use, Short: short, Long: long, Example: example, SilenceUsage: true, SilenceErrors: true, Args: args,
			RunE: func(cmd *cobra.Command, args []string) error {
				if err := setFromEnvironment(cmd.Flags(), h.env); err != nil {
					return err
				}
				return act(&keysRun{connection: connection{at: &f.clusterFlags, host: h}, flags: f}, ctx, args)
			},
		}
		cmd.SetFlagErrorFunc(badFlag)
		f.bindController(cmd.Flags())
		cmd.Flags().StringVar(&f.legacy, "key-prefix", sealingkeys.LegacyName, "the controller's flag of this name: a Secret of exactly this name is a key without the label, too")
		root.AddCommand(cmd)
		return cmd, f
	}
	list, f := add("list", "Say which sealing keys there are and how many objects name each",
		"STATE is sealing for the key that values are sealed to (in NAMESPACES), opening for older ones, and else the value of the\nSecret's label.",
		"  sealbridge keys list --controller-namespace sealbridge-system", noArguments("keys list takes none"), (*keysRun).list)
	list.Flags().StringVarP(&f.format, "format", "o", "text", "output format, text or json")
	backup, f := add("backup", "Write all sealing keys, encrypted to age recipients",
		"Restore into a new cluster, before or after its controller starts: age -d -i identity.txt keys.age | kubectl apply --server-side -f -",
		"  sealbridge keys backup --recipient age1pq1... -w keys.age", noArguments("keys backup takes none"), (*keysRun).backup)
	backup.Flags().StringSliceVar(&f.to, "recipient", nil, "age recipient that can open the backup; repeat it for several")
	backup.Flags().StringVar(&f.file, "recipients-file", "", "file with age recipients, one a line")
	backup.Flags().StringVarP(&f.output, "output", "w", "", "write to this new file instead of standard output")
	backup.Flags().BoolVar(&f.force, "force", false, "replace the file of --output when it exists")
	retire, f := add("retire KEY", "Take a key out of use, when no object needs it any more",
		"KEY is a fingerprint or the name of a Secret. Every value of every SealedSecret in the cluster is opened with the other keys first;\n"+
			"if one needs the key, nothing is done. The Secret stays, labeled compromised, as Sealed Secrets names it. Files that were not applied\n"+
			"are not seen: rewrap them first.",
		"  sealbridge keys retire SHA256:...", oneKey, (*keysRun).retire)
	retire.Flags().BoolVar(&f.force, "force", false, "retire the key although objects need it, or values are sealed to it")
	return root
}

func oneKey(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage("sealbridge keys list shows them", "retire takes one key: a fingerprint or the name of a Secret")
	}
	return nil
}

// keys reads the key Secrets.
func (r *keysRun) keys(ctx context.Context, c *cluster) ([]*sealingkeys.Key, error) {
	var secrets []sealingkeys.Secret
	for _, label := range []string{sealingkeys.LabelCompat, sealingkeys.LabelNative} {
		err := c.list(ctx, "/api/v1/namespaces/"+url.PathEscape(c.namespace)+"/secrets", label, func(items json.RawMessage) error {
			var page []sealingkeys.Secret
			err := json.Unmarshal(items, &page)
			for _, s := range page {
				if !slices.ContainsFunc(secrets, func(have sealingkeys.Secret) bool { return have.Metadata.Name == s.Metadata.Name }) {
					secrets = append(secrets, s)
				}
			}
			return err
		})
		if err != nil {
			return nil, &sealing.Error{Problem: fmt.Sprintf("cannot list the key Secrets in %s: %s", c.namespace, err), Hint: whatToDo(err, "you need the right to list Secrets there; --controller-namespace names another"), Cause: err}
		}
	}
	legacy, err := r.legacyKey(ctx, c)
	if err != nil {
		return nil, err
	}
	if secrets = append(secrets, legacy...); len(secrets) == 0 {
		return nil, &sealing.Error{Problem: "there is no sealing key in " + c.namespace, Hint: "--controller-namespace names where the controller is"}
	}
	return sealingkeys.Read(secrets), nil
}

// legacyKey returns the key Secret without a label, if there is one.
func (r *keysRun) legacyKey(ctx context.Context, c *cluster) ([]sealingkeys.Secret, error) {
	data, err := c.do(ctx, http.MethodGet, "/api/v1/namespaces/"+url.PathEscape(c.namespace)+"/secrets/"+url.PathEscape(r.flags.legacy), nil)
	var answer *answerError
	if errors.As(err, &answer) && answer.code == http.StatusNotFound {
		return nil, nil
	}
	var secret sealingkeys.Secret
	if err == nil && json.Unmarshal(data, &secret) != nil {
		err = errors.New("the answer is no Secret")
	}
	if err != nil {
		return nil, &sealing.Error{Problem: fmt.Sprintf("cannot read the Secret %s/%s: %s", c.namespace, r.flags.legacy, err), Hint: whatToDo(err, "you need the right to get Secrets there"), Cause: err}
	}
	if !sealingkeys.Legacy(secret) {
		return nil, nil // listed by its label, or no key
	}
	return []sealingkeys.Secret{secret}, nil
}

func (c *cluster) objects(ctx context.Context) ([]sealingkeys.Object, error) {
	var out []sealingkeys.Object
	err := c.list(ctx, "/apis/bitnami.com/v1alpha1/sealedsecrets", "", func(items json.RawMessage) error {
		var page []sealingkeys.Object
		err := json.Unmarshal(items, &page)
		out = append(out, page...)
		return err
	})
	if err != nil {
		return nil, &sealing.Error{Problem: "cannot list the SealedSecrets: " + err.Error(), Hint: whatToDo(err, "you need the right to list them in all namespaces"), Cause: err}
	}
	return out, nil
}

// list hands on the pages of a list.
func (c *cluster) list(ctx context.Context, path, label string, page func(items json.RawMessage) error) error {
	query := url.Values{"limit": {"100"}}
	if label != "" {
		query.Set("labelSelector", label)
	}
	for {
		data, err := c.send(ctx, request{method: http.MethodGet, path: path, query: query})
		if err != nil {
			return err
		}
		var answer struct {
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items json.RawMessage `json:"items"`
		}
		if json.Unmarshal(data, &answer) != nil || len(answer.Items) > 0 && page(answer.Items) != nil {
			return errors.New("the answer is no list")
		}
		if answer.Metadata.Continue == "" {
			return nil
		}
		query.Set("continue", answer.Metadata.Continue)
	}
}

// shownKey is a key in JSON.
type shownKey struct {
	Name        string     `json:"name"`
	Format      string     `json:"format"`
	Fingerprint string     `json:"fingerprint"`
	State       string     `json:"state"`
	Namespaces  []string   `json:"namespaces,omitempty"`
	Created     time.Time  `json:"created"`
	Expires     *time.Time `json:"expires,omitempty"`
	Objects     int        `json:"objects"`
	Fault       string     `json:"fault,omitempty"`
}

func (r *keysRun) list(ctx context.Context, _ []string) error {
	if r.flags.format != "text" && r.flags.format != "json" {
		return usage("use text or json", "unsupported output format: %s", r.flags.format)
	}
	c, err := r.cluster()
	if err != nil {
		return err
	}
	keys, err := r.keys(ctx, c)
	if err != nil {
		return err
	}
	objects, err := c.objects(ctx)
	if err != nil {
		return err
	}
	uses := sealingkeys.Uses(objects)
	var shown []shownKey
	for _, k := range keys {
		s := shownKey{
			Name: k.Secret.Metadata.Name, Format: string(k.Format), Fingerprint: k.Fingerprint, Created: k.Created.UTC(),
			State: k.Word(sealingkeys.Newest(keys, k)), Namespaces: k.Namespaces, Objects: uses[k.Fingerprint],
		}
		if !k.Expires.IsZero() {
			end := k.Expires.UTC()
			s.Expires = &end
		}
		if k.Fault != nil {
			s.Fault = k.Fault.Error()
		}
		delete(uses, k.Fingerprint)
		shown = append(shown, s)
	}
	var out bytes.Buffer
	if r.flags.format == "json" {
		e := json.NewEncoder(&out)
		e.SetIndent("", "  ")
		if err := e.Encode(map[string]any{"keys": shown, "objectsOfOtherKeys": uses}); err != nil {
			return err
		}
		return r.host.output(out.Bytes())
	}
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tFORMAT\tSTATE\tNAMESPACES\tCREATED\tEXPIRES\tOBJECTS\tFINGERPRINT")
	for _, s := range shown {
		expires := "never"
		if s.Expires != nil {
			expires = s.Expires.Format(time.DateOnly)
		}
		namespaces := cmp.Or(strings.Join(s.Namespaces, ","), "all")
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", s.Name, s.Format, s.State, namespaces, s.Created.Format(time.DateOnly), expires, s.Objects, strings.TrimSpace(s.Fingerprint+" "+s.Fault))
	}
	for _, fingerprint := range slices.Sorted(maps.Keys(uses)) {
		fmt.Fprintf(w, "-\t-\tunknown\t-\t-\t-\t%d\t%s\n", uses[fingerprint], fingerprint)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return r.host.output(out.Bytes())
}

func (r *keysRun) backup(ctx context.Context, _ []string) error {
	recipients, err := r.backupRecipients()
	if err != nil {
		return err
	}
	write := addPrivateFile
	if r.flags.force {
		write = replacePrivateFile
	} else if err := unused(r.flags.output); err != nil {
		return err // nobody need be asked for the keys
	}
	c, err := r.cluster()
	if err != nil {
		return err
	}
	keys, err := r.keys(ctx, c)
	if err != nil {
		return err
	}
	plain, err := sealingkeys.Backup(keys)
	if err != nil {
		return err
	}
	defer clear(plain)
	sealed, err := encryptBackup(plain, recipients)
	if err != nil {
		return err
	}
	if r.flags.output == "" {
		err = r.host.output(sealed)
	} else {
		err = write(r.flags.output, sealed)
	}
	if err == nil {
		r.note(fmt.Sprintf("%d sealing keys; restore with: age -d -i IDENTITY BACKUP | kubectl apply --server-side -f -", len(keys)))
	}
	return err
}

// backupRecipients are whom the flags name. What a file holds instead of recipients is not shown.
func (r *keysRun) backupRecipients() ([]age.Recipient, error) {
	const hint = "give age1pq1... or age1..., one a line; plugins and ssh keys are not taken"
	if len(r.flags.to) == 0 && r.flags.file == "" {
		return nil, usage("age-keygen -pq makes a key pair; keep the identity offline", "backup requires --recipient or --recipients-file")
	}
	var all []age.Recipient
	if len(r.flags.to) > 0 {
		found, err := age.ParseRecipients(strings.NewReader(strings.Join(r.flags.to, "\n")))
		if err != nil {
			return nil, &sealing.Error{Problem: "the recipients are not age recipients", Hint: hint, Cause: err}
		}
		all = found
	}
	if r.flags.file == "" {
		return all, nil
	}
	data, err := readFile(r.flags.file)
	if err != nil {
		return nil, err
	}
	data = withoutMarks(data)
	found, err := age.ParseRecipients(bytes.NewReader(data))
	switch {
	case err == nil:
		return append(all, found...), nil
	case bytes.Contains(data, []byte("AGE-SECRET-KEY-")):
		return nil, &sealing.Error{Problem: r.flags.file + " holds a private key, not recipients", Hint: "age-keygen -y prints the recipient of an identity; keep the identity offline", Cause: err}
	default:
		return nil, &sealing.Error{Problem: r.flags.file + " does not hold age recipients alone", Hint: hint, Cause: err}
	}
}

// encryptBackup returns a text that age opens. age refuses to mix post-quantum recipients with others.
func encryptBackup(plain []byte, recipients []age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	text := armor.NewWriter(&out)
	w, err := age.Encrypt(text, recipients...)
	if err != nil {
		return nil, &sealing.Error{Problem: "age does not encrypt to these recipients together", Hint: "use post-quantum recipients (age1pq1...) alone, or classic ones alone", Cause: err}
	}
	if _, err = io.Copy(w, bytes.NewReader(plain)); err == nil {
		err = errors.Join(w.Close(), text.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("encrypt the backup: %w", err)
	}
	return out.Bytes(), nil
}

func (r *keysRun) retire(ctx context.Context, args []string) error {
	c, err := r.cluster()
	if err != nil {
		return err
	}
	keys, err := r.keys(ctx, c)
	if err != nil {
		return err
	}
	found := sealingkeys.Find(keys, args[0])
	if len(found) == 0 {
		return &sealing.Error{Problem: fmt.Sprintf("there is no sealing key %q in %s", args[0], c.namespace), Hint: "sealbridge keys list shows them"}
	}
	used := slices.DeleteFunc(slices.Clone(found), func(k *sealingkeys.Key) bool { return !inUse(k) })
	if len(used) == 0 {
		r.note(found[0].Secret.Metadata.Name + " is retired already")
		return nil
	}
	for _, key := range used {
		if sealingkeys.Newest(keys, key) && !r.flags.force {
			return &sealing.Error{Problem: key.Secret.Metadata.Name + " is the key that values are sealed to", Hint: "have the controller make a newer one first (kill -USR1), or give --force"}
		}
	}
	if !r.flags.force {
		if err := r.unneeded(ctx, c, keys, used); err != nil {
			return err
		}
	}
	for _, key := range used {
		if err := r.label(ctx, c, key); err != nil {
			return err
		}
	}
	for _, k := range keys {
		if k.Fingerprint != "" && k.Fingerprint == used[0].Fingerprint && inUse(k) && !slices.Contains(used, k) {
			r.note("the same key stays in use: " + k.Secret.Metadata.Name + " holds it, too; give the fingerprint to retire both")
		}
	}
	return nil
}

// inUse says whether the controller opens with a key.
func inUse(k *sealingkeys.Key) bool {
	return k.State == sealingkeys.Active || k.State == sealingkeys.Namespaced
}

// label takes the Secret of a key out of use.
func (r *keysRun) label(ctx context.Context, c *cluster, key *sealingkeys.Key) error {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": key.Secret.Metadata.ResourceVersion, "labels": map[string]any{key.Label: sealingkeys.Compromised},
	}})
	if err != nil {
		return err
	}
	path := "/api/v1/namespaces/" + url.PathEscape(c.namespace) + "/secrets/" + url.PathEscape(key.Secret.Metadata.Name)
	if _, err := c.send(ctx, request{method: http.MethodPatch, path: path, body: body, contentType: "application/merge-patch+json"}); err != nil {
		return &sealing.Error{Problem: "cannot label the Secret " + key.Secret.Metadata.Name + ": " + err.Error(), Hint: "you need the right to patch it; if it has changed, run the command again", Cause: err}
	}
	r.note(key.Secret.Metadata.Name + " is retired; to take it back, label it " + key.Label + "=" + key.State)
	return nil
}

// unneeded returns an error that names the objects which need a key.
func (r *keysRun) unneeded(ctx context.Context, c *cluster, keys, key []*sealingkeys.Key) error {
	objects, err := c.objects(ctx)
	if err != nil {
		return err
	}
	var needing, closed []string
	for i := range objects {
		need, err := sealingkeys.NeedOf(ctx, &objects[i], keys, key)
		switch {
		case err != nil:
			return err
		case need == sealingkeys.Needed:
			needing = append(needing, objects[i].String())
		case need == sealingkeys.Closed:
			closed = append(closed, objects[i].String())
		}
	}
	if len(closed) > 0 {
		r.note("SealedSecrets that no key opens, this one or another: " + some(closed))
	}
	if len(needing) == 0 {
		return nil
	}
	return &sealing.Error{Problem: "SealedSecrets need this key: " + some(needing), Hint: "seal them anew (sealbridge rewrap) and apply them, or give --force"}
}

// some names the first ten of many, in order.
func some(names []string) string {
	const most = 10
	slices.Sort(names)
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
