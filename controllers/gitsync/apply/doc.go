// Package apply brings a set of objects into a cluster by server-side apply, in stages, and takes out what is no longer
// wanted.
//
// It takes the objects that a GitSync desires, the inventory of what it applied before, a client that acts as the
// GitSync's identity and a memory of what the last run wrote. It gives back one Result per object (what was done, what
// it waits for, or why it failed) and never stops at the first failure: objects that do not depend on a failed or
// pending one are applied all the same. Texts of results name objects, reasons and cures and never a value.
//
// The order is: definitions and namespaces, identities and classes, what secrets are made from, the objects that
// materialise Secrets, everything else, admission webhooks. An object that mentions a Secret which is not materialised
// yet is held until it is (see Materialised), so that no worker waits and a broken store delays only its users.
package apply
