// Package sopstest encrypts documents for tests with the SOPS library itself.
//
// It takes a plain document and age recipients and gives back what the sops command would write; the metadata can be
// changed before (rules) and the tree after (damage) it is encrypted.
package sopstest

import (
	"testing"
	"time"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/keyservice"
	dotenvstore "github.com/getsops/sops/v3/stores/dotenv"
	inistore "github.com/getsops/sops/v3/stores/ini"
	jsonstore "github.com/getsops/sops/v3/stores/json"
	yamlstore "github.com/getsops/sops/v3/stores/yaml"

	"github.com/sealbridge/sealbridge/crypto/sopsfile"
)

// File is a document to encrypt.
type File struct {
	Format     sopsfile.Format
	Plain      string
	Recipients []string
	// Rules changes the metadata before encryption: encrypted_regex, mac_only_encrypted, more key groups, ...
	Rules func(*sops.Metadata)
	// Damage changes the encrypted tree before it is written.
	Damage func(*sops.Tree)
}

// Identity makes an age X25519 key: the text of a key file, and its recipient.
func Identity(tb testing.TB) (secret, recipient string) {
	tb.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		tb.Fatal(err)
	}
	return id.String(), id.Recipient().String()
}

// Encrypt returns the file as SOPS writes it.
func Encrypt(tb testing.TB, file File) []byte {
	tb.Helper()
	store := storeOf(file.Format)
	branches, err := store.LoadPlainFile([]byte(file.Plain))
	if err != nil {
		tb.Fatalf("load plain document: %v", err)
	}
	var group sops.KeyGroup
	for _, recipient := range file.Recipients {
		key, err := sopsage.MasterKeyFromRecipient(recipient)
		if err != nil {
			tb.Fatalf("recipient %s: %v", recipient, err)
		}
		group = append(group, key)
	}
	tree := sops.Tree{Branches: branches, Metadata: sops.Metadata{Version: "3.13.3", KeyGroups: []sops.KeyGroup{group}}}
	if file.Rules != nil {
		file.Rules(&tree.Metadata)
	}
	seal(tb, &tree)
	if file.Damage != nil {
		file.Damage(&tree)
	}
	out, err := store.EmitEncryptedFile(tree)
	if err != nil {
		tb.Fatalf("write encrypted document: %v", err)
	}
	return out
}

func seal(tb testing.TB, tree *sops.Tree) {
	tb.Helper()
	m := &tree.Metadata
	if m.UnencryptedSuffix+m.EncryptedSuffix+m.EncryptedRegex+m.UnencryptedRegex+
		m.EncryptedCommentRegex+m.UnencryptedCommentRegex == "" {
		m.UnencryptedSuffix = sops.DefaultUnencryptedSuffix
	}
	key, errs := tree.GenerateDataKeyWithKeyServices([]keyservice.KeyServiceClient{keyservice.NewLocalClient()})
	if len(errs) > 0 {
		tb.Fatalf("wrap data key: %v", errs)
	}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(key, cipher)
	if err != nil {
		tb.Fatalf("encrypt tree: %v", err)
	}
	m.LastModified = time.Now().UTC()
	m.MessageAuthenticationCode, err = cipher.Encrypt(mac, key, m.LastModified.Format(time.RFC3339))
	if err != nil {
		tb.Fatalf("encrypt mac: %v", err)
	}
}

func storeOf(format sopsfile.Format) sops.Store {
	switch format {
	case sopsfile.JSON:
		return &jsonstore.Store{}
	case sopsfile.Dotenv:
		return &dotenvstore.Store{}
	case sopsfile.INI:
		return &inistore.Store{}
	case sopsfile.Binary:
		return &jsonstore.BinaryStore{}
	default:
		return &yamlstore.Store{}
	}
}
