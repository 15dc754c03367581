package sopsfile

import "github.com/sealbridge/sealbridge/crypto/sopsdoc"

// Format is one of the file formats of SOPS.
type Format = sopsdoc.Format

// The formats that SOPS has.
const (
	YAML   = sopsdoc.YAML
	JSON   = sopsdoc.JSON
	Dotenv = sopsdoc.Dotenv
	INI    = sopsdoc.INI
	Binary = sopsdoc.Binary
)
