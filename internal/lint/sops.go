package lint

import (
	"strings"

	"github.com/sealbridge/sealbridge/crypto/sopsdoc"
)

// sops judges a SOPS file by what it shows without a key.
func (f *file) sops(format sopsdoc.Format, data []byte) {
	d, err := sopsdoc.Read(format, data)
	if err != nil {
		f.add(Error, 1, "sops", "", "encrypt it again with sops", "the SOPS file cannot be read")
		return
	}
	if !d.MAC {
		f.add(Error, d.Line, "sops-mac", "", "encrypt it again with sops from the original; without a mac nobody notices changes", "the SOPS file has no mac")
	}
	f.recipients(d)
	encrypted, secret := 0, concerned.Match(data)
	for _, v := range d.Values {
		path := printable(strings.Join(v.Path, "."))
		ofSecret := secret && len(v.Path) > 1 && (v.Path[0] == "data" || v.Path[0] == "stringData")
		if ofSecret && v.Number {
			f.add(Error, v.Line, "format", "", "write it in quotes, and encrypt the file again (sops edit does)", "%s of a Secret is no text: the API server refuses numbers and truth values", path)
		}
		switch {
		case v.Encrypted:
			encrypted++
		case v.Meant:
			f.add(Error, v.Line, "sops-plaintext", "", "encrypt the file again (sops edit does), then replace the value, because history keeps it", "%s is in plain text in a SOPS file whose rule wants it encrypted", path)
		case ofSecret:
			f.add(Error, v.Line, "sops-plaintext", "", "let encrypted_regex match data and stringData, encrypt the file again, then replace the value", "%s of a Secret is in plain text, because the SOPS file's rule leaves it out", path)
		}
	}
	if encrypted == 0 && len(d.Values) > 0 {
		f.add(Error, d.Line, "sops-plaintext", "", "check encrypted_regex and the creation rules in .sops.yaml", "the SOPS file has no encrypted value at all")
	}
}

// recipients finds sets of recipients that protect less than they seem to. SOPS makes an age file of its own for each
// recipient, so that age's own check for mixed ones never sees them.
func (f *file) recipients(d *sopsdoc.Document) {
	quantum, classic, plugins := 0, 0, 0
	for _, r := range d.Age {
		switch {
		case strings.HasPrefix(r, "age1pq1"):
			quantum++
		case strings.HasPrefix(r, "age1") && strings.Contains(strings.TrimPrefix(r, "age1"), "1"):
			plugins++
		default:
			classic++
		}
	}
	if quantum > 0 && (classic > 0 || d.Others) {
		f.add(Error, d.Line, "sops-recipients", "", "use post-quantum recipients alone (age1pq1...), and encrypt the file again with a new data key: sops rotate", "post-quantum and classic recipients are mixed: whoever breaks a classic one reads the file")
	}
	if plugins > 0 {
		f.add(Warning, d.Line, "sops-recipients", "", "add a native recipient, age1... or age1pq1..., for whatever opens it without a program", "a recipient needs an age plugin, which SealBridge does not start")
	}
	if len(d.Age) == 0 && !d.Others {
		f.add(Error, d.Line, "sops-recipients", "", "restore the file from its history", "the SOPS file names no recipient, so that nobody can open it")
	}
}
