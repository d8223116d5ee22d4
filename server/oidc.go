package server

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// Limits of identity providers, which iam checks more closely: here they only bound what goes into ARNs and events.
const (
	maxIssuer    = 255
	maxClientID  = 255
	maxClientIDs = 100
	maxJWKS      = 64 << 10
	maxURI       = 2048
)

// onProvider asks for an action on an identity provider by its ARN. One of another account is like one that is not there.
func (c *call) onProvider(a authz.Action, arn string) (authz.Grant, error) {
	return c.onEntity(a, "OIDC_PROVIDER", c.people.OpenIDConnectProviderResource(c.account(), arn), arn)
}

func (c *call) changeProvider(a authz.Action, arn string, change func(people *iam.IAM, g authz.Grant) error) error {
	return c.changeBy(func() (authz.Grant, error) { return c.onProvider(a, arn) }, change)
}

func (v *violations) providerARN(arn string) {
	v.text("open_id_connect_provider_arn", arn, 1, maxEntityARN)
}

func (v *violations) keySet(jwks, uri string) {
	v.text("jwks", jwks, 0, maxJWKS)
	v.text("jwks_uri", uri, 0, maxURI)
	if (jwks == "") == (uri == "") {
		v.add("jwks", "must be given, or jwks_uri, and not both")
	}
}

func checkCreateOpenIDConnectProvider(v *violations, r *iamv1.CreateOpenIDConnectProviderRequest) {
	v.text("url", r.GetUrl(), 1, maxIssuer)
	v.keySet(r.GetJwks(), r.GetJwksUri())
	if n := len(r.GetClientIdList()); n == 0 || n > maxClientIDs {
		v.add("client_id_list", "has %d entries, must have 1 to %d", n, maxClientIDs)
		return
	}
	v.texts("client_id_list", r.GetClientIdList(), maxClientID)
}

func createOpenIDConnectProvider(c *call, r *iamv1.CreateOpenIDConnectProviderRequest) (*iamv1.CreateOpenIDConnectProviderResponse, error) {
	arn := c.people.NewOpenIDConnectProviderARN(c.account(), r.GetUrl())
	c.param(audit.String("url", r.GetUrl()))
	c.param(audit.String("jwksUri", r.GetJwksUri()))
	c.param(audit.Strings("clientIDList", r.GetClientIdList()))
	out := iamv1.CreateOpenIDConnectProviderResponse_builder{}
	err := c.changeBy(func() (authz.Grant, error) {
		return c.onNew(authz.IAMCreateOpenIDConnectProvider, "OIDC_PROVIDER", arn)
	}, func(people *iam.IAM, g authz.Grant) error {
		p, err := people.CreateOpenIDConnectProvider(g, c.account(), iam.OpenIDConnectProvider{
			URL: r.GetUrl(), ClientIDs: r.GetClientIdList(), JWKS: r.GetJwks(), JWKSURI: r.GetJwksUri(),
		})
		out.OpenIdConnectProviderArn = p.ARN
		return err
	})
	return out.Build(), err
}

func checkGetOpenIDConnectProvider(v *violations, r *iamv1.GetOpenIDConnectProviderRequest) {
	v.providerARN(r.GetOpenIdConnectProviderArn())
}

func getOpenIDConnectProvider(c *call, r *iamv1.GetOpenIDConnectProviderRequest) (*iamv1.GetOpenIDConnectProviderResponse, error) {
	g, err := c.onProvider(authz.IAMGetOpenIDConnectProvider, r.GetOpenIdConnectProviderArn())
	if err != nil {
		return nil, err
	}
	p, err := c.people.OpenIDConnectProvider(g, c.account(), r.GetOpenIdConnectProviderArn())
	if err != nil {
		return nil, err
	}
	return iamv1.GetOpenIDConnectProviderResponse_builder{
		Url: p.URL, ClientIdList: p.ClientIDs, CreateDate: timestamppb.New(p.Created), Jwks: p.JWKS, JwksUri: p.JWKSURI,
	}.Build(), nil
}

func checkListOpenIDConnectProviders(*violations, *iamv1.ListOpenIDConnectProvidersRequest) {}

func listOpenIDConnectProviders(c *call, _ *iamv1.ListOpenIDConnectProvidersRequest) (*iamv1.ListOpenIDConnectProvidersResponse, error) {
	g, err := c.allow(authz.IAMListOpenIDConnectProviders, nothing)
	if err != nil {
		return nil, err
	}
	arns, err := c.people.ListOpenIDConnectProviders(g, c.account())
	if err != nil {
		return nil, err
	}
	out := iamv1.ListOpenIDConnectProvidersResponse_builder{}
	for _, arn := range arns {
		out.OpenIdConnectProviderList = append(out.OpenIdConnectProviderList, iamv1.OpenIDConnectProviderListEntry_builder{Arn: arn}.Build())
	}
	return out.Build(), nil
}

func checkDeleteOpenIDConnectProvider(v *violations, r *iamv1.DeleteOpenIDConnectProviderRequest) {
	v.providerARN(r.GetOpenIdConnectProviderArn())
}

func deleteOpenIDConnectProvider(c *call, r *iamv1.DeleteOpenIDConnectProviderRequest) (*iamv1.DeleteOpenIDConnectProviderResponse, error) {
	arn := r.GetOpenIdConnectProviderArn()
	return &iamv1.DeleteOpenIDConnectProviderResponse{}, c.changeProvider(authz.IAMDeleteOpenIDConnectProvider, arn, func(people *iam.IAM, g authz.Grant) error {
		return people.DeleteOpenIDConnectProvider(g, c.account(), arn)
	})
}

func checkUpdateOpenIDConnectProviderKeys(v *violations, r *iamv1.UpdateOpenIDConnectProviderKeysRequest) {
	v.providerARN(r.GetOpenIdConnectProviderArn())
	v.keySet(r.GetJwks(), r.GetJwksUri())
}

func updateOpenIDConnectProviderKeys(c *call, r *iamv1.UpdateOpenIDConnectProviderKeysRequest) (*iamv1.UpdateOpenIDConnectProviderKeysResponse, error) {
	arn := r.GetOpenIdConnectProviderArn()
	c.param(audit.String("jwksUri", r.GetJwksUri()))
	return &iamv1.UpdateOpenIDConnectProviderKeysResponse{}, c.changeProvider(authz.IAMUpdateOpenIDConnectProviderKeys, arn, func(people *iam.IAM, g authz.Grant) error {
		return people.UpdateOpenIDConnectProviderKeys(g, c.account(), arn, r.GetJwks(), r.GetJwksUri())
	})
}

func checkAddClientID(v *violations, r *iamv1.AddClientIDToOpenIDConnectProviderRequest) {
	v.providerARN(r.GetOpenIdConnectProviderArn())
	v.text("client_id", r.GetClientId(), 1, maxClientID)
}

func addClientID(c *call, r *iamv1.AddClientIDToOpenIDConnectProviderRequest) (*iamv1.AddClientIDToOpenIDConnectProviderResponse, error) {
	arn := r.GetOpenIdConnectProviderArn()
	c.param(audit.String("clientID", r.GetClientId()))
	return &iamv1.AddClientIDToOpenIDConnectProviderResponse{}, c.changeProvider(authz.IAMAddClientIDToOpenIDConnectProvider, arn, func(people *iam.IAM, g authz.Grant) error {
		return people.AddClientID(g, c.account(), arn, r.GetClientId())
	})
}

func checkRemoveClientID(v *violations, r *iamv1.RemoveClientIDFromOpenIDConnectProviderRequest) {
	v.providerARN(r.GetOpenIdConnectProviderArn())
	v.text("client_id", r.GetClientId(), 1, maxClientID)
}

func removeClientID(c *call, r *iamv1.RemoveClientIDFromOpenIDConnectProviderRequest) (*iamv1.RemoveClientIDFromOpenIDConnectProviderResponse, error) {
	arn := r.GetOpenIdConnectProviderArn()
	c.param(audit.String("clientID", r.GetClientId()))
	return &iamv1.RemoveClientIDFromOpenIDConnectProviderResponse{}, c.changeProvider(authz.IAMRemoveClientIDFromOpenIDConnectProvider, arn, func(people *iam.IAM, g authz.Grant) error {
		return people.RemoveClientID(g, c.account(), arn, r.GetClientId())
	})
}
