package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// maxKeySet is the size of the largest JSON Web Key Set that kmsd takes, in bytes.
const maxKeySet = 64 << 10

// providerView is an identity provider as JSON shows it.
type providerView struct {
	ARN       string          `json:"arn"`
	URL       string          `json:"url,omitempty"`
	ClientIDs []string        `json:"client_id_list,omitempty"`
	Created   time.Time       `json:"create_date,omitzero"`
	Keys      json.RawMessage `json:"jwks,omitempty"`
	KeysURI   string          `json:"jwks_uri,omitempty"`
}

func (a *app) identityProviderCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "identity-provider", Short: "trust OpenID Connect providers",
		Long: `An identity provider vouches for workloads, such as Kubernetes for its service accounts or a CI system for its jobs: with a token of it they assume a role
(kmsctl sts assume-role-with-web-identity) and need no stored secret. Its public keys are given as a file, or fetched by kmsd from where its configuration allows.`,
		Example: "  kmsctl identity-provider create https://ci.example.com --client-id kmsd --jwks keys.json\n  kmsctl identity-provider list",
	}, a.providerCreateCommand(), a.providerGetCommand(), a.providerListCommand(), a.providerDeleteCommand(), a.providerKeysCommand(),
		a.providerClientCommand("add-client", "accept tokens for another audience", func(ctx context.Context, c *client.Client, arn, id string) error {
			_, err := c.IAM().AddClientIDToOpenIDConnectProvider(ctx, iamv1.AddClientIDToOpenIDConnectProviderRequest_builder{OpenIdConnectProviderArn: arn, ClientId: id}.Build())
			return err
		}),
		a.providerClientCommand("remove-client", "accept tokens for an audience no longer", func(ctx context.Context, c *client.Client, arn, id string) error {
			_, err := c.IAM().RemoveClientIDFromOpenIDConnectProvider(ctx, iamv1.RemoveClientIDFromOpenIDConnectProviderRequest_builder{OpenIdConnectProviderArn: arn, ClientId: id}.Build())
			return err
		}))
}

// keyFlags say where a provider's public keys are.
type keyFlags struct{ file, uri string }

func (k *keyFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.file, "jwks", "", "`FILE` with the provider's public keys, a JSON Web Key Set, - for standard input")
	cmd.Flags().StringVar(&k.uri, "jwks-uri", "", "https `URL` that kmsd fetches them from, if its configuration allows the host")
}

func (a *app) keySet(ctx context.Context, k *keyFlags) (string, error) {
	if (k.file == "") == (k.uri == "") {
		return "", usage("give --jwks or --jwks-uri")
	}
	if k.file == "" {
		return "", nil
	}
	b, err := a.read(ctx, k.file, maxKeySet)
	return string(b), err
}

func (a *app) providerCreateCommand() *cobra.Command {
	var keys keyFlags
	var clients []string
	cmd := &cobra.Command{
		Use: "create URL --client-id ID --jwks FILE", Short: "trust an identity provider", Args: takes("URL"),
		Long:    "create lets roles of the account be assumed with tokens whose issuer (iss) is URL and whose audience (aud) is one of the client ids, where their trust policies name the provider.",
		Example: "  kmsctl identity-provider create https://ci.example.com --client-id kmsd --jwks keys.json",
	}
	keys.add(cmd)
	cmd.Flags().StringArrayVar(&clients, "client-id", nil, "`ID` of an audience to accept (repeatable)")
	required(cmd, "client-id")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		set, err := a.keySet(ctx, &keys)
		if err != nil {
			return err
		}
		out, err := c.IAM().CreateOpenIDConnectProvider(ctx, iamv1.CreateOpenIDConnectProviderRequest_builder{Url: args[0], ClientIdList: clients, Jwks: set, JwksUri: keys.uri}.Build())
		if err != nil {
			return err
		}
		arn := out.GetOpenIdConnectProviderArn()
		return a.done(removed{ProviderARN: arn}, "created %s", arn)
	})
	return cmd
}

func (a *app) providerGetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get ARN", Short: "show an identity provider", Args: takes("ARN"),
		Long:    "get shows an identity provider; with -o json or yaml with its public keys.",
		Example: "  kmsctl identity-provider get arn:aws:iam::111122223333:oidc-provider/ci.example.com",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.IAM().GetOpenIDConnectProvider(ctx, iamv1.GetOpenIDConnectProviderRequest_builder{OpenIdConnectProviderArn: args[0]}.Build())
			if err != nil {
				return err
			}
			v := providerView{ARN: args[0], URL: out.GetUrl(), ClientIDs: out.GetClientIdList(), Created: out.GetCreateDate().AsTime(), KeysURI: out.GetJwksUri()}
			if out.GetJwks() != "" {
				v.Keys = json.RawMessage(out.GetJwks())
			}
			return a.emit(v, func() view {
				t := pairs("arn", v.ARN, "url", v.URL, "client ids", strings.Join(v.ClientIDs, ", "), "created", stamp(v.Created))
				return t.given("keys from", v.KeysURI)
			})
		}),
	}
}

func (a *app) providerListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "list the identity providers of the account", Args: takes(),
		Long:    "list shows the ARNs of the identity providers that the account trusts.",
		Example: "  kmsctl identity-provider list",
		RunE: a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
			out, err := c.IAM().ListOpenIDConnectProviders(ctx, &iamv1.ListOpenIDConnectProvidersRequest{})
			if err != nil {
				return err
			}
			views := each(out.GetOpenIdConnectProviderList(), func(p *iamv1.OpenIDConnectProviderListEntry) providerView { return providerView{ARN: p.GetArn()} })
			return listing(a, views, "there are no identity providers", []string{"ARN"}, func(p providerView) []string { return []string{p.ARN} })
		}),
	}
}

func (a *app) providerDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete ARN", Short: "trust an identity provider no longer", Args: takes("ARN"),
		Long:    "delete removes an identity provider: its tokens open no sessions any more. Sessions that there are go on.",
		Example: "  kmsctl identity-provider delete arn:aws:iam::111122223333:oidc-provider/ci.example.com",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm("Delete the identity provider %s?", args[0]); err != nil {
				return err
			}
			if _, err := c.IAM().DeleteOpenIDConnectProvider(ctx, iamv1.DeleteOpenIDConnectProviderRequest_builder{OpenIdConnectProviderArn: args[0]}.Build()); err != nil {
				return err
			}
			return a.done(removed{ProviderARN: args[0]}, "deleted %s", args[0])
		}),
	}
}

func (a *app) providerKeysCommand() *cobra.Command {
	var keys keyFlags
	cmd := &cobra.Command{
		Use: "update-keys ARN --jwks FILE", Short: "replace a provider's public keys", Args: takes("ARN"),
		Long:    "update-keys replaces the public keys of a provider, or where they are fetched from. Tokens that are signed by others are refused from then on.",
		Example: "  kmsctl identity-provider update-keys arn:aws:iam::111122223333:oidc-provider/ci.example.com --jwks keys.json",
	}
	keys.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		set, err := a.keySet(ctx, &keys)
		if err != nil {
			return err
		}
		_, err = c.IAM().UpdateOpenIDConnectProviderKeys(ctx, iamv1.UpdateOpenIDConnectProviderKeysRequest_builder{OpenIdConnectProviderArn: args[0], Jwks: set, JwksUri: keys.uri}.Build())
		if err != nil {
			return err
		}
		return a.done(removed{ProviderARN: args[0]}, "replaced the keys of %s", args[0])
	})
	return cmd
}

func (a *app) providerClientCommand(name, short string, do func(ctx context.Context, c *client.Client, arn, id string) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " ARN CLIENT-ID", Short: short, Args: takes("ARN", "CLIENT-ID"),
		Long:    name + ": " + short + ". The audience is the token's aud.",
		Example: "  kmsctl identity-provider " + name + " arn:aws:iam::111122223333:oidc-provider/ci.example.com kmsd",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := do(ctx, c, args[0], args[1]); err != nil {
				return err
			}
			return a.done(removed{ProviderARN: args[0], ClientID: args[1]}, "%s: changed the audiences that are accepted", args[0])
		}),
	}
}
