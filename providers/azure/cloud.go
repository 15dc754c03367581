package azure

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"

	"github.com/sealbridge/sealbridge/api/stores"
)

// authorityOf returns where the tokens of a store's cloud come from.
func authorityOf(spec *stores.AzureKV) string {
	if spec.CustomCloudConfig != nil {
		return spec.CustomCloudConfig.ActiveDirectoryEndpoint
	}
	switch spec.EnvironmentType {
	case stores.AzureUSGovernmentCloud:
		return cloud.AzureGovernment.ActiveDirectoryAuthorityHost
	case stores.AzureChinaCloud:
		return cloud.AzureChina.ActiveDirectoryAuthorityHost
	default:
		return cloud.AzurePublic.ActiveDirectoryAuthorityHost
	}
}

// trustsAuthority reports whether the controller's own federated token may be shown to an authority: to those of the public
// clouds, and to the one that whoever runs the controller has named in its environment. A store could name a host that replays it.
func trustsAuthority(authority, ofPod string) bool {
	for _, known := range []string{
		cloud.AzurePublic.ActiveDirectoryAuthorityHost, cloud.AzureGovernment.ActiveDirectoryAuthorityHost, cloud.AzureChina.ActiveDirectoryAuthorityHost, ofPod,
	} {
		if known != "" && sameHost(known, authority) {
			return true
		}
	}
	return false
}

func sameHost(a, b string) bool {
	x, errX := url.Parse(a)
	y, errY := url.Parse(b)
	return errX == nil && errY == nil && x.Scheme == "https" && y.Scheme == "https" && x.Host != "" && strings.EqualFold(x.Host, y.Host)
}

// authTypeOf returns how a store logs in.
func authTypeOf(spec *stores.AzureKV) stores.AzureAuthType {
	return cmp.Or(spec.AuthType, stores.AzureServicePrincipal)
}

// currentSDK reports whether External Secrets Operator would use the current SDK for the store, with which some answers differ.
func currentSDK(spec *stores.AzureKV) bool { return spec.UseAzureSDK != nil && *spec.UseAzureSDK }
