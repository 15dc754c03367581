// Package sopstest encrypts documents for tests and the demo with the SOPS library itself.
//
// It takes a plain document and age recipients and gives back what the sops command would write; the metadata can be
// changed before (rules) and the tree after (damage) it is encrypted.
package sopstest

import (
	"errors"
	"fmt"
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
	out, err := file.Write()
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// Write returns the file as SOPS writes it.
func (file File) Write() ([]byte, error) {
	store := storeOf(file.Format)
	branches, err := store.LoadPlainFile([]byte(file.Plain))
	if err != nil {
		return nil, fmt.Errorf("load plain document: %w", err)
	}
	var group sops.KeyGroup
	for _, recipient := range file.Recipients {
		key, err := sopsage.MasterKeyFromRecipient(recipient)
		if err != nil {
			return nil, fmt.Errorf("recipient %s: %w", recipient, err)
		}
		group = append(group, key)
	}
	tree := sops.Tree{Branches: branches, Metadata: sops.Metadata{Version: "3.13.3", KeyGroups: []sops.KeyGroup{group}}}
	if file.Rules != nil {
		file.Rules(&tree.Metadata)
	}
	if err := seal(&tree); err != nil {
		return nil, err
	}
	if file.Damage != nil {
		file.Damage(&tree)
	}
	out, err := store.EmitEncryptedFile(tree)
	if err != nil {
		return nil, fmt.Errorf("write encrypted document: %w", err)
	}
	return out, nil
}

func seal(tree *sops.Tree) error {
	m := &tree.Metadata
	if m.UnencryptedSuffix+m.EncryptedSuffix+m.EncryptedRegex+m.UnencryptedRegex+
		m.EncryptedCommentRegex+m.UnencryptedCommentRegex == "" {
		m.UnencryptedSuffix = sops.DefaultUnencryptedSuffix
	}
	key, errs := tree.GenerateDataKeyWithKeyServices([]keyservice.KeyServiceClient{keyservice.NewLocalClient()})
	if len(errs) > 0 {
		return fmt.Errorf("wrap data key: %w", errors.Join(errs...))
	}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(key, cipher)
	if err != nil {
		return fmt.Errorf("encrypt tree: %w", err)
	}
	m.LastModified = time.Now().UTC()
	m.MessageAuthenticationCode, err = cipher.Encrypt(mac, key, m.LastModified.Format(time.RFC3339))
	if err != nil {
		return fmt.Errorf("encrypt mac: %w", err)
	}
	return nil
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
