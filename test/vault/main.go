// Command vault is a real Vault server, for tests and the demo. It is a module of its own, so that Vault's
// dependencies stay out of the product.
package main

import (
	"os"

	"github.com/hashicorp/vault/command"
)

func main() {
	exitWithParent()
	os.Exit(command.Run(os.Args[1:]))
}
