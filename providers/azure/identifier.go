package azure

import (
	"net/netip"
	"net/url"
	"strings"
)

// identifier is what a vault calls one of its objects: https://VAULT/secrets/NAME/VERSION.
type identifier struct{ host, kind, name, version string }

// identifierOf reads an identifier; it is zero where the answer holds none.
func identifierOf[T ~string](id *T) identifier {
	if id == nil {
		return identifier{}
	}
	u, err := url.Parse(string(*id))
	if err != nil {
		return identifier{}
	}
	parts := strings.Split(u.Path, "/")
	if len(parts) != 4 || parts[0] != "" || !validName(parts[2]) || !validVersion(parts[3]) {
		return identifier{}
	}
	return identifier{hostOf(u), parts[1], parts[2], parts[3]}
}

// of reports whether it can be the identifier of an object in the vault at a host. Vaults take names in any case.
func (i identifier) of(host string, o object) bool {
	return i == identifier{} || strings.EqualFold(i.kind, o.collection()) && strings.EqualFold(i.name, o.name) &&
		(o.version == "" || strings.EqualFold(i.version, o.version)) && !siblings(i.host, host)
}

// siblings reports whether two hosts are of one domain and not the same: other vaults. A vault that is asked by a name of another
// domain, or by an address, says its own.
func siblings(a, b string) bool {
	_, domainA, _ := strings.Cut(a, ".")
	_, domainB, _ := strings.Cut(b, ".")
	_, err := netip.ParseAddr(a)
	return a != b && domainA != "" && domainA == domainB && err != nil
}

func (i identifier) String() string {
	return "https://" + i.host + "/" + i.kind + "/" + i.name + "/" + i.version
}
